import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.js'
import { Cluster } from '../../../src/dfc/cluster/cluster.js'
import type { DataChunk } from '../../../src/dfc/content/content.js'
import { ContentStore } from '../../../src/dfc/content/content-store.js'
import type { UploadRecord } from '../../../src/dfc/content/upload.js'
import { limits } from '../../../src/limits.js'
import { tcpNetwork } from '../../../src/network.js'
import type { Segment } from '../../../src/wire/records.js'
import { startServers } from '../../fixtures/servers.js'

const MiB = 1024 * 1024

async function open(t: Test) {
  const servers = await startServers(t)
  const options = { network: tcpNetwork, clock: systemClock, random: systemRandom }
  const cluster = await Cluster.open({ ...options, config: servers.config('alice', 10_000) })
  t.teardown(() => cluster.close())
  return { store: new ContentStore(cluster), servers }
}

async function* chunks(...all: readonly DataChunk[]): AsyncGenerator<DataChunk> {
  yield* all
}

class MemoryRecord implements UploadRecord {
  readonly segments: Segment[] = []

  find(md5: string, length: number): Segment | undefined {
    return this.segments.find((one) => one.md5 === md5 && one.length === length)
  }

  async note(segment: Segment): Promise<void> {
    this.segments.push(segment)
  }
}

t.test('holes stay holes, also at both ends', async (t) => {
  const { store } = await open(t)
  const [one, other] = [systemRandom.bytes(MiB), systemRandom.bytes(40 * MiB)]
  const data = chunks({ at: MiB, bytes: one }, { at: 5 * MiB, bytes: other })
  const { content, inline } = await store.stageData(data, 100 * MiB)
  t.equal(inline, undefined)
  t.equal(content.size, 100 * MiB)
  t.same(
    content.segments.map(({ length }) => length),
    [limits.segmentBytesMax, 9 * MiB],
    'a segment goes on behind a hole',
  )
  const wanted = Buffer.alloc(100 * MiB)
  one.copy(wanted, MiB)
  other.copy(wanted, 5 * MiB)
  const read: Buffer[] = []
  for await (const bytes of store.stream(content)) read.push(bytes)
  t.ok(Buffer.concat(read).equals(wanted))
  let end = 30 * MiB
  for await (const { at, bytes } of store.streamData(content, 30 * MiB)) {
    t.ok(bytes.equals(wanted.subarray(at, at + bytes.length)))
    t.equal(at, end)
    end += bytes.length
  }
  t.equal(end, 45 * MiB)
})

t.test('counts each byte once, as it is sent or found, and sends nothing twice', async (t) => {
  const { store } = await open(t)
  const bytes = systemRandom.bytes(100 * MiB + 7)
  const record = new MemoryRecord()
  const counts = { sent: 0, found: 0 }
  const options = {
    record,
    onSent: (count: number) => {
      counts.sent += count
    },
    onFound: (count: number) => {
      counts.found += count
    },
  }
  const first = await store.stage(chunksOf(bytes), options)
  t.same(counts, { sent: bytes.length, found: 0 })
  const again = await store.stage(chunksOf(bytes), options)
  t.same(counts, { sent: bytes.length, found: bytes.length })
  t.same(again, first)
  const changed = Buffer.from(bytes)
  changed.writeUInt8((changed.readUInt8(40 * MiB) + 1) % 256, 40 * MiB)
  const { content } = await store.stage(chunksOf(changed), options)
  t.equal(counts.sent, bytes.length + limits.segmentBytesMax)
  const read: Buffer[] = []
  for await (const part of store.stream(content)) read.push(part)
  t.ok(Buffer.concat(read).equals(changed))
})

async function* chunksOf(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += MiB) yield bytes.subarray(at, at + MiB)
}

t.test('tells which segments are on two servers', async (t) => {
  const { store, servers } = await open(t)
  const { content } = await store.stage(chunksOf(systemRandom.bytes(2 * MiB)))
  t.same(await store.storedTwice(content.segments), content.segments)
  const unknown = { id: '0'.repeat(32), length: 5, md5: '0'.repeat(32) }
  t.same(await store.storedTwice([unknown, ...content.segments]), content.segments)
  t.same(await store.storedTwice([]), [])
  await servers.kill(2)
  t.same(await store.storedTwice(content.segments), [], 'not with a server down')
})

t.test('refuses more than the largest file', async (t) => {
  const { store } = await open(t)
  const data = chunks({ at: limits.fileBytesMax, bytes: Buffer.alloc(1) })
  await t.rejects(store.stageData(data, undefined), { code: 'tooLarge' })
})
