import t, { type Test } from 'tap'
import type { Client } from '../../../src/dfc/client.js'
import { limits } from '../../../src/limits.js'
import { redirectNotices } from '../../../src/log.js'
import type { Listed, Reply } from '../../../src/wire/messages.js'
import { fileType, rootIno } from '../../../src/wire/records.js'
import { openClient } from '../../fixtures/library.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { startServers } from '../../fixtures/servers.js'

t.setTimeout(120_000)

const liar = 3
const names = ['a', 'b', 'c', 'd']

/** A client of four servers whose answers to `list` come as `lie` has them, of DFS4 or of those that are given. */
async function liedTo(
  t: Test,
  lie: (reply: Reply<'list'>) => Partial<Reply<'list'>>,
  liars: readonly number[] = [liar],
): Promise<{ readonly client: Client; readonly notices: readonly string[] }> {
  const servers = await startServers(t)
  const honest = await openClient(t, servers)
  const mode = fileType.symlink | 0o777
  for (const name of names) {
    await honest.namespace.create(rootIno, name, { mode, uid: 0, gid: 0, target: 'x' })
  }
  const proxies = await MessageProxies.open(t, servers)
  proxies.watch(({ server, change }) => {
    if (liars.includes(server)) change('list', (reply) => ({ ...reply, ...lie(reply) }))
  })
  const client = await openClient(t, proxies)
  const notices: string[] = []
  redirectNotices((line) => notices.push(line))
  return { client, notices }
}

async function namesIn({ namespace }: Client): Promise<string[]> {
  const found: string[] = []
  for await (const { entries } of namespace.names.pages(rootIno)) {
    found.push(...entries.map(({ name }) => name))
    if (found.length > 100) throw new Error('it does not end')
  }
  return found
}

const named =
  (name: string) =>
  (listed: Listed): Listed => ({ ...listed, name })

let first: readonly Listed[] | undefined

const lies: Readonly<Record<string, (reply: Reply<'list'>) => Partial<Reply<'list'>>>> = {
  'the same page for ever': ({ entries }) => {
    first ??= entries.slice(0, 1)
    return { entries: first, more: true }
  },
  'nothing, and more to come': () => ({ entries: [], more: true }),
  'a name twice': ({ entries }) => ({ entries: entries.map(named('a')) }),
  'names the other way round': ({ entries }) => ({ entries: entries.toReversed() }),
  'a way up': ({ entries }) => ({ entries: [...entries.slice(0, 1).map(named('..')), ...entries] }),
  'an empty name': ({ entries }) => ({
    entries: [...entries.slice(0, 1).map(named('')), ...entries],
  }),
  'a path': ({ entries }) => ({ entries: entries.slice(0, 1).map(named('a/b')) }),
  'a zero byte': ({ entries }) => ({ entries: entries.slice(0, 1).map(named('a\0')) }),
}

for (const [what, lie] of Object.entries(lies)) {
  t.test(`a server that lists ${what} has another one asked`, async (t) => {
    const { client, notices } = await liedTo(t, lie)
    for (let round = 0; round < 4; round += 1) t.same(await namesIn(client), names)
    // A page that the others do not have more behind is outvoted before it comes again.
    const refusals = what === 'the same page for ever' ? 0 : 1
    t.equal(notices.length, refusals, 'it is said once')
    for (const line of notices) t.match(line, /DFS4 (lists|has a list).*: its lists are refused$/)
  })
}

t.test('where too few others are left the error names the server', async (t) => {
  const lie = ({ entries }: Reply<'list'>) => ({ entries: entries.toReversed() })
  const { client } = await liedTo(t, lie, [1, 2, 3])
  await t.rejects(namesIn(client), {
    code: 'protocol',
    message: /^DFS[234] lists something twice, or not in its order$/,
  })
})

t.test('names are in the order of their bytes', async (t) => {
  const client = await openClient(t, await startServers(t))
  const odd = ['\ue000', '\uffff', '😀', '\u{10ffe9}']
  const mode = fileType.symlink | 0o777
  for (const name of odd.toReversed()) {
    await client.namespace.create(rootIno, name, { mode, uid: 0, gid: 0, target: 'x' })
  }
  t.ok(odd.length < limits.listEntriesMax)
  t.same(await namesIn(client), odd)
})
