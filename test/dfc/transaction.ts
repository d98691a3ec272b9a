import t from 'tap'
import { systemClock, systemRandom } from '../../src/clock.js'
import { Client } from '../../src/dfc/client.js'
import { build, wholeSlice } from '../../src/dfc/extents.js'
import { prepare } from '../../src/dfc/prepared-segment.js'
import { tcpNetwork } from '../../src/network.js'
import { fileType, rootIno } from '../../src/wire/records.js'
import { startServers } from '../fixtures/servers.js'

t.test('content that was just committed is not fetched to be read again', async (t) => {
  const servers = await startServers(t)
  const client = await Client.open({
    config: servers.config(),
    network: tcpNetwork,
    clock: systemClock,
    random: systemRandom,
  })
  t.teardown(() => client.close())
  const bytes = systemRandom.bytes(5000)
  const written = Buffer.from(bytes)
  const inline = prepare(written, systemRandom)
  const content = build(bytes.length, [wholeSlice(inline.segment)])
  const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0, content, inline }
  await client.namespace.create(rootIno, 'file', attributes)
  // The writer has its memory back, and uses it for something else.
  written.fill(0)
  const { cluster } = client
  const { request } = cluster
  const asked: string[] = []
  cluster.request = (index, verb, ...rest) => {
    asked.push(verb)
    return request.call(cluster, index, verb, ...rest) as never
  }
  t.same(await client.content.read(content, 0, bytes.length), bytes)
  t.same(await client.content.read(content, 1100, 2600), bytes.subarray(1100, 3700))
  t.notOk(asked.includes('getPiece'))
})
