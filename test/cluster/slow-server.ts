/** A server whose answers come late: others are not kept waiting, and it misses nothing. */
import t from 'tap'
import { systemClock, systemRandom } from '../../src/clock.js'
import { Client } from '../../src/dfc/client.js'
import { limits } from '../../src/limits.js'
import { tcpNetwork } from '../../src/network.js'
import { fileType, rootIno } from '../../src/wire/records.js'
import { checkAll, clean, putFile, readFile } from '../fixtures/library.js'
import { openProxies } from '../fixtures/server-proxy.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

t.setTimeout(60_000)

async function open(t: Parameters<typeof startServerProcesses>[0]) {
  const servers = await startServerProcesses(t)
  const { proxies, config } = await openProxies(t, servers)
  const options = { network: tcpNetwork, clock: systemClock, random: systemRandom }
  const client = await Client.open({ ...options, config })
  t.teardown(() => client.close())
  /** A new small file, as a mount makes it: its content travels inside the commit. */
  const create = async (name: string, bytes: Buffer): Promise<void> => {
    const source = (async function* () {
      yield bytes
    })()
    const { content, inline } = await client.content.stage(source)
    const rides = inline === undefined ? {} : { inline }
    const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0, content, ...rides }
    await client.namespace.create(rootIno, name, attributes)
  }
  return { servers, proxies, client, create }
}

t.test('changes do not wait for a slow server, which gets them all the same', async (t) => {
  const { proxies, client, create } = await open(t)
  const link = client.cluster.link(1)
  const [, proxy] = proxies
  if (proxy === undefined) throw new Error('no proxy')
  await create('before', Buffer.from('before'))
  proxy.delayMs = 1_000
  const begin = performance.now()
  for (let i = 0; i < 30; i += 1) await create(`file ${i}`, Buffer.alloc(5_000 + i, i))
  const tookMs = performance.now() - begin
  t.ok(tookMs < 5_000, `${tookMs} ms`)
  t.ok(link.isSlow)
  t.ok(link.isUp)
  const reading = performance.now()
  for (let i = 0; i < 30; i += 1) {
    const isWhole = (await readFile(client, `file ${i}`)).equals(Buffer.alloc(5_000 + i, i))
    if (!isWhole) t.fail(`file ${i} is not as it was written`)
  }
  t.ok(performance.now() - reading < 3_000, `${performance.now() - reading} ms`)
  proxy.delayMs = 0
  await until(() => !link.isSlow)
  // No repair: it has voted on everything, and the spare pieces have been taken back.
  t.match(await checkAll(client), clean)
})

t.test('what is too long for a commit goes past a slow server, and home by a repair', async (t) => {
  const { proxies, client, servers } = await open(t)
  const link = client.cluster.link(2)
  const [, , proxy] = proxies
  if (proxy === undefined) throw new Error('no proxy')
  proxy.delayMs = 1_000
  await putFile(client, 'small', Buffer.from('makes it known that one is slow'))
  await until(() => link.isSlow)
  const bytes = systemRandom.bytes(20_000_000)
  const begin = performance.now()
  await putFile(client, 'large', bytes)
  t.ok(performance.now() - begin < 3_000, `${performance.now() - begin} ms`)
  proxy.delayMs = 0
  await until(() => !link.isSlow)
  t.match(await client.scheduler.heal({ patienceMs: 0, sweepAgeMs: 0 }), {
    left: 0,
    piecesCopied: 2,
  })
  t.match(await checkAll(client), clean)
  await servers.kill(0)
  t.ok((await readFile(client, 'large')).equals(bytes))
})

t.test('to a server that is far behind nothing more is sent than it can owe', async (t) => {
  const { proxies, client, create } = await open(t)
  const link = client.cluster.link(3)
  const proxy = proxies[3]
  if (proxy === undefined) throw new Error('no proxy')
  proxy.delayMs = 1_000
  await Promise.all(
    Array.from({ length: 3 * limits.slowRequestsMax }, (_, i) => create(`${i}`, Buffer.from('x'))),
  )
  t.ok(link.isSlow)
  t.equal(client.cluster.voters.length, 4)
  proxy.delayMs = 0
  await until(() => !link.isSlow)
  t.match(await client.scheduler.heal({ patienceMs: 0, sweepAgeMs: 0 }), { left: 0 })
  t.match(await checkAll(client), clean)
})
