import t from 'tap'
import { ContentStore } from '../../src/dfc/content/content-store.js'
import { build, wholeSlice } from '../../src/dfc/content/extents.js'
import { prepare } from '../../src/dfc/content/prepared-segment.js'
import { serverIndexes } from '../../src/wire/placement.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses } from '../fixtures/servers.js'

const MiB = 1024 * 1024

t.test('reads around a frozen server long before it counts as down', async (t) => {
  const servers = await startServerProcesses(t)
  const random = new Seeded(1)
  const bytes = random.bytes(8 * MiB)
  const prepared = prepare(bytes, random)
  const content = build(bytes.length, [wholeSlice(prepared.segment)])
  // With a timeout this long, only hedging to another server makes reads fast.
  const timeoutMs = 30_000
  const cluster = await servers.connect(t, servers.config('alice', timeoutMs))
  await new ContentStore(cluster).writer.put(prepared)
  for (const frozen of serverIndexes) {
    servers.signal(frozen, 'SIGSTOP')
    const begin = performance.now()
    const read = await new ContentStore(cluster).read(content, 0, bytes.length)
    const tookMs = performance.now() - begin
    servers.signal(frozen, 'SIGCONT')
    t.ok(read.equals(bytes), `server ${frozen}`)
    t.ok(tookMs < timeoutMs / 3, `${tookMs} ms`)
  }
})

t.test('finishes a put when a server freezes in the middle of it', async (t) => {
  const servers = await startServerProcesses(t)
  const random = new Seeded(2)
  const bytes = random.bytes(16 * MiB)
  const prepared = prepare(bytes, random)
  const cluster = await servers.connect(t, servers.config('alice'))
  const store = new ContentStore(cluster)
  const putting = store.writer.put(prepared)
  servers.signal(2, 'SIGSTOP')
  await putting
  t.same(cluster.up, [0, 1, 3])
  await servers.kill(0)
  const read = await store.read(build(bytes.length, [wholeSlice(prepared.segment)]), 0, 16 * MiB)
  t.ok(read.equals(bytes), 'every piece has a second copy')
})
