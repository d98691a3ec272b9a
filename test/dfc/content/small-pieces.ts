import t, { type Test } from 'tap'
import { systemRandom } from '../../../src/clock.js'
import { type Content, emptyContent } from '../../../src/dfc/content/content.js'
import { ContentStore } from '../../../src/dfc/content/content-store.js'
import { build, wholeSlice } from '../../../src/dfc/content/extents.js'
import { prepare } from '../../../src/dfc/content/prepared-segment.js'
import { limits } from '../../../src/limits.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { startServers } from '../../fixtures/servers.js'

interface Small {
  readonly content: Content
  readonly bytes: Buffer
}

const whole = (store: ContentStore, content: Content = emptyContent): Promise<Buffer> =>
  store.read(content, 0, content.size)

/** Starts four servers with small files, and a client whose requests are counted. */
async function stored(t: Test, count: number, bytesEach: number) {
  const servers = await startServers(t)
  const proxies = await MessageProxies.open(t, servers)
  const cluster = await servers.connect(t, proxies.config())
  const { writer } = new ContentStore(cluster)
  const files: Small[] = []
  for (let index = 0; index < count; index += 1) {
    const bytes = systemRandom.bytes(bytesEach + index)
    const prepared = prepare(bytes, systemRandom)
    await writer.put(prepared)
    files.push({ content: build(bytes.length, [wholeSlice(prepared.segment)]), bytes })
  }
  const { sent } = proxies
  sent.length = 0
  const bad: string[] = []
  const store = new ContentStore(cluster, (server, { id }, piece) => {
    bad.push(`${server} ${id} ${piece}`)
  })
  return { servers, cluster, files, sent, store, bad }
}

t.test('a small file is read with two messages', async (t) => {
  const { files, sent, store } = await stored(t, 4, 4096)
  for (const { content, bytes } of files) {
    sent.length = 0
    t.same(await whole(store, content), bytes)
    t.same(
      sent.map(({ verb }) => verb),
      ['getSmallPieces', 'getSmallPieces'],
    )
    const [one, other] = sent.map(({ server }) => server)
    t.equal(Math.abs((one ?? 0) - (other ?? 0)), 2, 'to opposite servers')
  }
})

t.test('many small files at once take no more messages than one for each server', async (t) => {
  const count = limits.siblingsAheadMax
  const { files, sent, store } = await stored(t, count, 4096)
  for (const { content } of files) store.prefetch(content)
  const read = await Promise.all(files.map(({ content }) => whole(store, content)))
  t.same(
    read,
    files.map(({ bytes }) => bytes),
  )
  t.ok(sent.length <= 4, `${sent.length} messages`)
})

t.test('a piece that a server does not have comes from its neighbour', async (t) => {
  // Half of them, by chance, are asked of this server first.
  const { cluster, files, store, bad } = await stored(t, 40, 4096)
  for (const { content } of files) {
    const [segment] = content.segments
    if (segment === undefined) throw new Error('no segment')
    await cluster.request(1, 'dropPieces', { segment: segment.id, pieces: 0b1111 })
  }
  for (const { content, bytes } of files) t.same(await whole(store, content), bytes)
  t.ok(bad.length > 0 && bad.every((one) => one.startsWith('1 ')), bad.join())
})

t.test('small files are read also when two opposite servers are down', async (t) => {
  const { servers, files, store } = await stored(t, 8, 4096)
  await servers.kill(0, 2)
  for (const { content, bytes } of files) t.same(await whole(store, content), bytes)
})

t.test('pieces larger than those in the index are not requested in this way', async (t) => {
  const { files, sent, store } = await stored(t, 2, limits.smallPieceBytesMax * 4 - 1)
  sent.length = 0
  t.same(await whole(store, files[0]?.content), files[0]?.bytes)
  t.ok(sent.every(({ verb }) => verb === 'getSmallPieces'))
  const big = await stored(t, 1, limits.smallPieceBytesMax * 4 + 4)
  big.sent.length = 0
  t.same(await whole(big.store, big.files[0]?.content), big.files[0]?.bytes)
  t.ok(big.sent.every(({ verb }) => verb === 'getPiece'))
})
