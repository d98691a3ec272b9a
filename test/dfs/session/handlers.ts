import t from 'tap'
import { handlers, rowOf } from '../../../src/dfs/session/handlers.js'
import { messages, type Verb } from '../../../src/wire/messages.js'
import { startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'
import { samples } from '../../fixtures/samples.js'
import { Seeded } from '../../fixtures/seeded.js'

const verbs = Object.keys(messages) as Verb[]

t.test('every message but those of the handshake has a row', async (t) => {
  t.same(
    verbs.filter((verb) => rowOf(verb) === undefined),
    ['hello', 'authenticate'],
  )
  t.equal(Object.keys(handlers).length, verbs.length - 2)
})

t.test('a blank account does nothing that needs one which votes or has content', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  const random = new Seeded(7)
  const refused = verbs.filter((verb) => (rowOf(verb)?.account ?? 'any') !== 'any')
  for (const verb of ['commit', 'commitSynced', 'read', 'list', 'prepare', 'accept'] as const) {
    t.ok(refused.includes(verb), `${verb} is one of them`)
  }
  for (const verb of refused) {
    const request = samples[verb].request(random) as never
    await t.rejects(client.call(verb, request), { code: 'blank' }, verb)
  }
})
