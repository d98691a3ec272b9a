import t, { type Test } from 'tap'
import { type Clock, systemClock, systemRandom } from '../../../src/clock.js'
import { Cluster } from '../../../src/dfc/cluster/cluster.js'
import type { Content } from '../../../src/dfc/content/content.js'
import { ContentStore } from '../../../src/dfc/content/content-store.js'
import { build, wholeSlice } from '../../../src/dfc/content/extents.js'
import { prepare } from '../../../src/dfc/content/prepared-segment.js'
import { limits } from '../../../src/limits.js'
import { PageMemory } from '../../../src/memory/page-memory.js'
import { type Network, tcpNetwork } from '../../../src/network.js'
import { serverIndexes } from '../../../src/wire/placement.js'
import type { Segment } from '../../../src/wire/records.js'
import { bytesOf } from '../../fixtures/lent.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { hurriedClock } from '../../fixtures/one-server.js'
import { Seeded } from '../../fixtures/seeded.js'
import { startServers } from '../../fixtures/servers.js'

// On a busy machine the whole file takes longer than the half minute that tap gives it.
t.setTimeout(180_000)
const MiB = 1024 * 1024
const { blockBytes } = limits

interface Stored {
  readonly cluster: Cluster
  readonly content: Content
  readonly bytes: Buffer
  /** Bytes of pieces that servers have sent to this client. */
  received(): number
  /** Ends each connection at the next bytes that arrive. */
  cutOff(): void
}

/** A clock on which a server that is slow because the machine is busy still answers before it is hedged. */
const patientClock = hurriedClock(0.01)

const servers = await startServers(t)

/** Stores a segment, and returns a client that counts the bytes it receives. */
async function stored(
  t: Test,
  length: number,
  memory?: PageMemory,
  clock: Clock = systemClock,
  way: Pick<MessageProxies, 'config'> = servers,
): Promise<Stored> {
  let received = 0
  let isCutOff = false
  const counting: Network = {
    ...tcpNetwork,
    async connect(address, timeoutMs, events) {
      const connection = await tcpNetwork.connect(address, timeoutMs, {
        ...events,
        data(bytes) {
          received += bytes.length
          events.data(bytes)
          if (isCutOff) connection.destroy()
        },
      })
      return connection
    },
  }
  const config = way.config()
  const random = systemRandom
  const cluster = await Cluster.open({ config, network: counting, memory, clock, random })
  t.teardown(() => cluster.close())
  const bytes = new Seeded(length).bytes(length)
  const prepared = prepare(bytes, systemRandom)
  await new ContentStore(cluster).writer.put(prepared)
  const content = build(length, [wholeSlice(prepared.segment)])
  received = 0
  const cutOff = (): void => {
    isCutOff = true
  }
  return { cluster, content, bytes, received: () => received, cutOff }
}

t.test('fetches one block for a small read, and nothing when it is read again', async (t) => {
  const { cluster, content, bytes, received } = await stored(t, 8 * MiB, undefined, patientClock)
  const store = new ContentStore(cluster)
  const at = 5 * MiB + 3 * blockBytes + 100
  for (const from of [at, at, at + 4096, at - 100]) {
    t.ok((await store.read(content, from, 4096)).equals(bytes.subarray(from, from + 4096)))
  }
  t.ok(received() < blockBytes + 4096, `${received()} bytes`)
})

t.test('fetches a range once for many readers at the same time', async (t) => {
  const { cluster, content, bytes, received } = await stored(t, 8 * MiB, undefined, patientClock)
  const store = new ContentStore(cluster)
  const random = new Seeded(2)
  const [from, length] = [3 * MiB, 3 * MiB]
  const reads = Array.from({ length: 100 }, async () => {
    const at = from + random.below(length - 200_000)
    return (await store.read(content, at, 200_000)).equals(bytes.subarray(at, at + 200_000))
  })
  t.ok((await Promise.all(reads)).every((same) => same))
  t.ok(received() <= length + blockBytes, `${received()} bytes`)
})

t.test('a read joins a fetch that was begun ahead of it', async (t) => {
  const { cluster, content, bytes, received } = await stored(t, 16 * MiB)
  const store = new ContentStore(cluster)
  const readAhead = store.readAhead()
  const step = 128 * 1024
  let same = true
  for (let at = 0; at < bytes.length; at += step) {
    readAhead.note(content, at, step)
    const read = await store.read(content, at, step)
    same &&= read.equals(bytes.subarray(at, at + step))
  }
  readAhead.close()
  t.ok(same)
  // On a busy machine a slow answer is hedged now and then; without joining, twice as much would be received.
  t.ok(received() < bytes.length * 1.5, `${received()} bytes`)
})

t.test('asks both holders of a piece for their share', async (t) => {
  const proxies = await MessageProxies.open(t, servers)
  const { cluster, content } = await stored(t, 16 * MiB, undefined, patientClock, proxies)
  const store = new ContentStore(cluster)
  // Reads only the first piece, which two servers have.
  for (let at = 0; at < 4 * MiB; at += MiB) await store.read(content, at, MiB)
  const asked = serverIndexes.map((server) => proxies.count('getPiece', server))
  t.same(asked.toSorted(), [0, 0, 2, 2])
})

t.test('returns views that stay as they are while the cache moves on', async (t) => {
  const { cluster, content, bytes } = await stored(t, 32 * MiB)
  const store = new ContentStore(cluster)
  const { parts: early } = await store.readLent(content, 1000, 5 * MiB)
  await store.read(content, 0, bytes.length)
  t.ok(Buffer.concat(early).equals(bytes.subarray(1000, 1000 + 5 * MiB)))
  t.ok(early.length < 12, `${early.length} views: neighbours in memory are one`)
})

/** Returns the number of free buffers of `memory`. */
function freeOf(memory: PageMemory): number {
  const taken: Buffer[] = []
  for (let next = memory.take(); next !== undefined; next = memory.take()) taken.push(next)
  for (const buffer of taken) memory.give(buffer)
  return taken.length
}

t.test('lends memory until it is given back, and uses it again', async (t) => {
  const memory = new PageMemory(4)
  const { cluster, content, bytes } = await stored(t, 16 * MiB, memory)
  const [segment] = content.segments
  if (segment === undefined) throw new Error('one segment')
  const store = new ContentStore(cluster)
  const early = await store.readLent(content, 1000, 2 * MiB)
  t.ok(freeOf(memory) < 4, 'it is in lent memory')
  store.reader.forget(segment, 0, bytes.length)
  const held = freeOf(memory)
  for (let at = 0; at < bytes.length; at += MiB) {
    t.ok(bytesOf(await store.readLent(content, at, MiB)).equals(bytes.subarray(at, at + MiB)))
    store.reader.forget(segment, at, MiB)
    if (freeOf(memory) !== held) t.fail(`${freeOf(memory)} are free after ${at}`)
  }
  t.ok(Buffer.concat(early.parts).equals(bytes.subarray(1000, 1000 + 2 * MiB)))
  early.release()
  t.equal(freeOf(memory), 4)
})

t.test('a fetched block that was forgotten meanwhile is not cached', async (t) => {
  const memory = new PageMemory(4)
  const { cluster, content, bytes } = await stored(t, 16 * MiB, memory)
  const [segment] = content.segments
  if (segment === undefined) throw new Error('one segment')
  const store = new ContentStore(cluster)
  const reading = store.readLent(content, 0, 2 * MiB)
  store.reader.forget(segment, 0, 2 * MiB)
  const lent = await reading
  t.ok(Buffer.concat(lent.parts).equals(bytes.subarray(0, 2 * MiB)))
  t.equal(freeOf(memory), 2, 'its reader has it')
  lent.release()
  t.equal(freeOf(memory), 4)
})

t.test(
  'a shortage takes memory of blocks that were read, not of those fetched ahead',
  async (t) => {
    const memory = new PageMemory(4)
    const { cluster, content, bytes, received } = await stored(t, 16 * MiB, memory)
    const store = new ContentStore(cluster)
    memory.onShortage(() => store.reader.forgetLent())
    const { take } = memory
    let refused = 0
    memory.take = () => {
      const taken = take.call(memory)
      refused += Number(taken === undefined)
      return taken
    }
    store.reader.prefetch(content.segments[0] as Segment, 0, 2 * MiB)
    for (let at = 2 * MiB; at < bytes.length; at += MiB) {
      t.ok(bytesOf(await store.readLent(content, at, MiB)).equals(bytes.subarray(at, at + MiB)))
    }
    t.equal(refused, 0)
    const before = received()
    t.ok((await store.read(content, 0, 2 * MiB)).equals(bytes.subarray(0, 2 * MiB)))
    t.equal(received(), before, 'what was fetched ahead is there')
  },
)

t.test('bytes that are read to be kept stay unchanged when the memory is used again', async (t) => {
  const memory = new PageMemory(4)
  const { cluster, content, bytes } = await stored(t, 16 * MiB, memory)
  const [segment] = content.segments
  if (segment === undefined) throw new Error('one segment')
  const store = new ContentStore(cluster)
  const kept: (readonly [at: number, bytes: Buffer])[] = []
  for (let at = 0; at < bytes.length; at += MiB) {
    kept.push([at, await store.read(content, at, MiB)])
    kept.push([at, Buffer.concat(await store.reader.read(segment, at, MiB))])
    store.reader.forget(segment, at, MiB)
  }
  t.ok(kept.every(([at, read]) => read.equals(bytes.subarray(at, at + MiB))))
  t.equal(freeOf(memory), 4)
})

t.test('readers that wait for the same fetch share its memory', async (t) => {
  const memory = new PageMemory(2)
  const { cluster, content, bytes } = await stored(t, 8 * MiB, memory)
  const store = new ContentStore(cluster)
  store.prefetch(content)
  const reads = Array.from({ length: 64 }, async (_, index) => {
    const at = (index * 97 * 4096) % (bytes.length - MiB)
    const lent = await store.readLent(content, at, MiB)
    await new Promise(setImmediate)
    return bytesOf(lent).equals(bytes.subarray(at, at + MiB))
  })
  t.ok((await Promise.all(reads)).every((same) => same))
  const [segment] = content.segments
  if (segment !== undefined) store.reader.forget(segment, 0, bytes.length)
  t.equal(freeOf(memory), 2)
})

t.test('gives back the memory of a wrong answer', async (t) => {
  const memory = new PageMemory(4)
  const proxies = await MessageProxies.open(t, servers)
  const { cluster, content, bytes } = await stored(t, 8 * MiB, memory, systemClock, proxies)
  proxies.watch(({ verb, isAnswer, bytes }) => {
    // The last byte of the message is one of the piece.
    if (verb === 'getPiece' && isAnswer)
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
  })
  const store = new ContentStore(cluster)
  await t.rejects(store.readLent(content, 0, bytes.length), { code: 'corrupt' })
  await t.rejects(store.read(content, 0, bytes.length), { code: 'corrupt' })
  t.equal(freeOf(memory), 4)
})

t.test('gives back the memory of an answer that breaks off', async (t) => {
  const memory = new PageMemory(4)
  const { cluster, content, cutOff } = await stored(t, 8 * MiB, memory)
  const store = new ContentStore(cluster)
  cutOff()
  await t.rejects(store.readLent(content, 0, MiB), { code: 'incomplete' })
  cluster.close()
  const deadline = Date.now() + 10_000
  while (freeOf(memory) < 4 && Date.now() < deadline) await new Promise(setImmediate)
  t.equal(freeOf(memory), 4)
})

t.test('refuses a range beyond the segment', async (t) => {
  const { cluster, content } = await stored(t, 1000)
  const [segment] = content.segments
  if (segment === undefined) throw new Error('one segment')
  await t.rejects(new ContentStore(cluster).reader.read(segment, 500, 501), { code: 'corrupt' })
})
