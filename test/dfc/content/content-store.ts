import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { type Content, emptyContent } from '../../../src/dfc/content/content.js'
import { ContentStore } from '../../../src/dfc/content/content-store.js'
import { build, overlay, truncate, wholeSlice } from '../../../src/dfc/content/extents.js'
import {
  type PreparedSegment,
  prepare,
  preparePiece,
} from '../../../src/dfc/content/prepared-segment.js'
import { limits } from '../../../src/limits.js'
import { type Network, tcpNetwork } from '../../../src/network.js'
import {
  pairOf,
  pieceNumbers,
  pieceRange,
  piecesFor,
  serverIndexes,
} from '../../../src/wire/placement.js'
import { Seeded } from '../../fixtures/seeded.js'
import { startServers, type TestServers, until } from '../../fixtures/servers.js'

const MiB = 1024 * 1024

async function* streamOf(bytes: Buffer, stepBytes = 65_536): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += stepBytes) yield bytes.subarray(at, at + stepBytes)
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

/** Stores `source` on the servers, even if it is small enough for a commit. */
async function upload(store: ContentStore, source: AsyncIterable<Buffer>): Promise<Content> {
  const { content, inline } = await store.stage(source)
  if (inline !== undefined) await store.writer.put(inline)
  return content
}

function contentOf({ segment }: PreparedSegment): Content {
  return build(segment.length, [wholeSlice(segment)])
}

/** Returns the pieces of a segment that each server has on its disk. */
function onDisk(servers: TestServers, segment: string): number[][] {
  return serverIndexes.map((server) =>
    pieceNumbers.filter((piece) => existsSync(servers.pieceFile(server, segment, piece))),
  )
}

function flipByte(file: string, at: number): void {
  const bytes = readFileSync(file)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(file, bytes)
}

// A test that stops servers, or takes pieces away that others could need, starts its own.
const servers = await startServers(t)
const cluster = await servers.connect(t)

t.test(
  'stores each piece as a file on the two servers of the table, for every rotation',
  async (t) => {
    const { writer } = new ContentStore(cluster)
    const random = new Seeded(1)
    const seen = new Set<number>()
    while (seen.size < 4) {
      const bytes = random.bytes(100_000 + random.below(1000))
      const prepared = prepare(bytes, random)
      if (seen.has(prepared.rotation)) continue
      seen.add(prepared.rotation)
      await writer.put(prepared)
      const expected = serverIndexes.map((server) => [...pairOf(server, prepared.rotation)].sort())
      t.same(onDisk(servers, prepared.segment.id), expected, `rotation ${prepared.rotation}`)
      const [server] = serverIndexes
      const pieces = pieceNumbers.map((piece) => {
        const holder = serverIndexes.find((index) =>
          pairOf(index, prepared.rotation).includes(piece),
        )
        return readFileSync(servers.pieceFile(holder ?? server ?? 0, prepared.segment.id, piece))
      })
      t.ok(Buffer.concat(pieces).equals(bytes), 'the four files are the bytes')
    }
  },
)

t.test('reads back what was uploaded, whatever its length', async (t) => {
  const random = new Seeded(2)
  const odd = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65_537, 262_143, 262_145, 4 * MiB + 3]
  for (const length of [...odd, limits.segmentBytesMax, 2 * limits.segmentBytesMax + 5]) {
    const bytes = random.bytes(length)
    const content = await upload(new ContentStore(cluster), streamOf(bytes, 100_000))
    t.equal(content.segments.length, Math.ceil(length / limits.segmentBytesMax), `${length} bytes`)
    const store = new ContentStore(cluster)
    t.ok((await collect(store.stream(content))).equals(bytes), 'as a stream')
    const at = random.below(length + 1)
    const some = random.below(MiB)
    const read = await store.read(content, at, some)
    t.ok(read.equals(bytes.subarray(at, at + some)), `${some} bytes at ${at}`)
  }
})

t.test('keeps small content for the commit, unless it must be uploaded', async (t) => {
  const store = new ContentStore(cluster)
  const small = new Seeded(3).bytes(limits.inlineContentBytesMax)
  const staged = await store.stage(streamOf(small))
  t.equal(staged.inline?.segment.length, small.length)
  t.same(onDisk(servers, staged.inline?.segment.id ?? ''), [[], [], [], []])
  await store.writer.put(staged.inline ?? prepare(small, cluster.random))
  t.ok((await store.read(staged.content, 0, small.length)).equals(small))
  const larger = await store.stage(streamOf(Buffer.alloc(limits.inlineContentBytesMax + 1, 1)))
  t.equal(larger.inline, undefined)
  t.same(await store.stage(streamOf(Buffer.alloc(0))), { content: emptyContent, inline: undefined })
})

t.test('reads ranges of overlaid content with holes as an array of bytes', async (t) => {
  const random = new Seeded(4)
  const writing = new ContentStore(cluster)
  let model = Buffer.alloc(3 * MiB)
  let content = truncate(emptyContent, model.length)
  for (let count = 0; count < 20; count += 1) {
    const bytes = random.bytes(1 + random.below(400_000))
    const at = random.below(model.length)
    const prepared = prepare(bytes, random)
    await writing.writer.put(prepared)
    content = overlay(content, [wholeSlice(prepared.segment, at)])
    if (content.size > model.length)
      model = Buffer.concat([model, Buffer.alloc(content.size - model.length)])
    bytes.copy(model, at)
  }
  const store = new ContentStore(cluster)
  const ranges = Array.from({ length: 200 }, () => ({
    at: random.below(model.length),
    length: random.below(500_000),
  }))
  const same = await Promise.all(
    ranges.map(async ({ at, length }) =>
      (await store.read(content, at, length)).equals(model.subarray(at, at + length)),
    ),
  )
  t.ok(same.every((equal) => equal))
  t.ok((await collect(store.stream(content))).equals(model))
})

t.test(
  'writes while a server is down, readable with each further single server down',
  async (t) => {
    const servers = await startServers(t)
    const cluster = await servers.connect(t)
    const random = new Seeded(5)
    for (const gone of serverIndexes) {
      await servers.kill(gone)
      await until(() => !cluster.up.includes(gone))
      const bytes = random.bytes(3 * MiB + gone)
      const prepared = prepare(bytes, random)
      const absent = new Set([gone])
      await new ContentStore(cluster).writer.put(prepared)
      const expected = serverIndexes.map((server) =>
        [...piecesFor(server, prepared.rotation, absent)].sort(),
      )
      t.same(onDisk(servers, prepared.segment.id), expected, `without server ${gone}`)
      await servers.start(gone)
      await until(() => cluster.up.length === 4)
      for (const further of serverIndexes) {
        await servers.kill(further)
        await until(() => !cluster.up.includes(further))
        const read = await collect(new ContentStore(cluster).stream(contentOf(prepared)))
        t.ok(read.equals(bytes), `written without ${gone}, read without ${further}`)
        await servers.start(further)
        await until(() => cluster.up.length === 4)
      }
    }
  },
)

t.test(
  'finishes a put with two copies of every piece when a server dies in the middle',
  async (t) => {
    const servers = await startServers(t)
    const cluster = await servers.connect(t)
    const random = new Seeded(6)
    for (const gone of serverIndexes) {
      const bytes = random.bytes(24 * MiB + gone)
      const prepared = prepare(bytes, random)
      let isDone = false
      const putting = new ContentStore(cluster).writer.put(prepared).then(() => {
        isDone = true
      })
      await until(() => onDisk(servers, prepared.segment.id).flat().length > 0)
      t.equal(isDone, false, 'some pieces are whole, not all')
      await servers.kill(gone)
      await putting
      const held = onDisk(servers, prepared.segment.id)
      for (const piece of pieceNumbers) {
        const copies = held.filter((pieces, server) => server !== gone && pieces.includes(piece))
        t.equal(copies.length, 2, `piece ${piece} without server ${gone}`)
      }
      const read = await collect(new ContentStore(cluster).stream(contentOf(prepared)))
      t.ok(read.equals(bytes))
      await servers.start(gone)
      await until(() => cluster.up.length === 4)
    }
  },
)

t.test(
  'brings the pieces of a commit to the neighbours of a server that did not answer',
  async (t) => {
    const { writer } = new ContentStore(cluster)
    const prepared = prepare(new Seeded(7).bytes(100_000), new Seeded(8))
    const missing = 2
    // Like a commit: each server that answered stores its pair.
    for (const server of serverIndexes.filter((index) => index !== missing)) {
      const own: readonly number[] = pairOf(server, prepared.rotation)
      for (const piece of prepared.pieces.filter(({ piece }) => own.includes(piece))) {
        await writer.putPiece(prepared.segment, piece, server)
      }
    }
    await writer.ensureCopies(prepared, [missing])
    const absent = new Set([missing])
    const expected = serverIndexes.map((server) =>
      [...piecesFor(server, prepared.rotation, absent)].sort(),
    )
    t.same(onDisk(servers, prepared.segment.id), expected)
    await t.rejects(writer.ensureCopies(prepared, [1, 2]), { code: 'readOnly' })
  },
)

t.test(
  'refuses to write while two servers are down, and reads on when they are opposite',
  async (t) => {
    const servers = await startServers(t)
    const cluster = await servers.connect(t)
    const random = new Seeded(9)
    const bytes = random.bytes(MiB)
    const prepared = prepare(bytes, random)
    await new ContentStore(cluster).writer.put(prepared)
    const content = contentOf(prepared)
    await servers.kill(1, 3)
    await until(() => cluster.up.length === 2)
    const store = new ContentStore(cluster)
    await t.rejects(store.writer.put(prepare(bytes, random)), { code: 'readOnly' })
    await t.rejects(upload(store, streamOf(bytes)), { code: 'readOnly' })
    t.ok((await collect(store.stream(content))).equals(bytes))

    await servers.start(1)
    await servers.kill(2)
    await until(() => cluster.up.join() === '0,1')
    const neighbours = new ContentStore(cluster)
    await t.rejects(neighbours.stream(content).next(), { code: 'incomplete' }, 'before any byte')
    const results = await Promise.all(
      [0, 1, 2, 3].map((quarter) =>
        neighbours.read(content, quarter * (MiB / 4), MiB / 4).catch((error: unknown) => error),
      ),
    )
    t.equal(results.filter((result) => Buffer.isBuffer(result)).length, 3, 'three pieces are there')
    t.match(
      results.filter((result) => !Buffer.isBuffer(result)),
      [{ code: 'incomplete' }],
    )
  },
)

t.test('reads the good copy when the other one has rotted, and reports the bad one', async (t) => {
  const random = new Seeded(10)
  const bytes = random.bytes(4 * MiB)
  const prepared = prepare(bytes, random)
  await new ContentStore(cluster).writer.put(prepared)
  const bad: string[] = []
  for (const server of serverIndexes) {
    const [piece] = pairOf(server, prepared.rotation)
    flipByte(servers.pieceFile(server, prepared.segment.id, piece), 500_000)
    bad.push(`${server}.${piece}`)
  }
  const told = new Set<string>()
  for (let count = 0; count < 4; count += 1) {
    const store = new ContentStore(cluster, (server, segment, piece) => {
      t.equal(segment.id, prepared.segment.id)
      told.add(`${server}.${piece}`)
    })
    t.ok((await collect(store.stream(contentOf(prepared)))).equals(bytes))
  }
  for (const name of told) t.ok(bad.includes(name), name)
  t.ok(told.size > 0)
})

t.test('puts a piece together from two copies that rotted in different blocks', async (t) => {
  const random = new Seeded(11)
  const bytes = random.bytes(4 * MiB)
  const prepared = prepare(bytes, random)
  const content = contentOf(prepared)
  await new ContentStore(cluster).writer.put(prepared)
  for (const [turn, server] of [0, 1, 2, 3].entries()) {
    for (const piece of pairOf(server, prepared.rotation)) {
      flipByte(servers.pieceFile(server, prepared.segment.id, piece), turn * 2 * limits.blockBytes)
    }
  }
  t.ok((await new ContentStore(cluster).read(content, 0, bytes.length)).equals(bytes))
})

t.test('throws corrupt where both copies of a block have rotted, and only there', async (t) => {
  const random = new Seeded(12)
  const bytes = random.bytes(4 * MiB)
  const prepared = prepare(bytes, random)
  const content = contentOf(prepared)
  const store = new ContentStore(cluster)
  await store.writer.put(prepared)
  for (const server of serverIndexes) {
    if (!pairOf(server, prepared.rotation).includes(2)) continue
    flipByte(servers.pieceFile(server, prepared.segment.id, 2), 3 * limits.blockBytes + 7)
  }
  await t.rejects(store.read(content, 0, bytes.length), { code: 'corrupt' })
  const badAt = MiB + 3 * limits.blockBytes
  await t.rejects(store.read(content, badAt + limits.blockBytes - 1, 1), { code: 'corrupt' })
  const before = await store.read(content, 0, badAt)
  const behind = await store.read(content, badAt + limits.blockBytes, 3 * MiB)
  t.ok(before.equals(bytes.subarray(0, badAt)))
  t.ok(behind.equals(bytes.subarray(badAt + limits.blockBytes)))
})

t.test('survives a piece that is cut short or gone from a disk', async (t) => {
  const random = new Seeded(13)
  const bytes = random.bytes(2 * MiB)
  const prepared = prepare(bytes, random)
  await new ContentStore(cluster).writer.put(prepared)
  for (const server of [0, 2]) {
    const [first, second] = pairOf(server, prepared.rotation)
    truncateSync(servers.pieceFile(server, prepared.segment.id, first), 1000)
    truncateSync(servers.pieceFile(server, prepared.segment.id, second), 0)
  }
  t.ok((await collect(new ContentStore(cluster).stream(contentOf(prepared)))).equals(bytes))
})

t.test('throws corrupt when a stream does not match the MD5 of its segment', async (t) => {
  const bytes = new Seeded(14).bytes(100_000)
  const wrong = prepare(bytes, new Seeded(15), { md5: '0'.repeat(32) })
  const store = new ContentStore(cluster)
  await store.writer.put(wrong)
  await t.rejects(collect(store.stream(contentOf(wrong))), { code: 'corrupt' })
})

t.test('fails an upload whose source fails, with the error of the source', async (t) => {
  async function* broken(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(40 * MiB)
    throw new Error('the disk of the source')
  }
  await t.rejects(upload(new ContentStore(cluster), broken()), /the disk of the source/)
})

t.test('replaces a copy that has rotted or is gone', async (t) => {
  const servers = await startServers(t)
  const cluster = await servers.connect(t)
  const random = new Seeded(17)
  const bytes = random.bytes(9 * MiB + 1)
  const prepared = prepare(bytes, random)
  const { id } = prepared.segment
  const store = new ContentStore(cluster)
  await store.writer.put(prepared)
  for (const server of [1, 3]) {
    const [first, second] = pairOf(server, prepared.rotation)
    flipByte(servers.pieceFile(server, id, first), MiB + 5)
    rmSync(servers.pieceFile(server, id, second))
  }
  await collect(new ContentStore(cluster).stream(contentOf(prepared)))
  for (const server of [1, 3]) {
    for (const piece of pairOf(server, prepared.rotation)) {
      const { start, length } = pieceRange(bytes.length, piece)
      const parts = await store.reader.read(prepared.segment, start, length)
      await store.writer.putPiece(prepared.segment, preparePiece(piece, parts), server)
    }
  }
  await servers.kill(0, 2)
  await until(() => cluster.up.length === 2)
  await t.resolves(collect(new ContentStore(cluster).stream(contentOf(prepared))))
})

t.test('bounds the frames and segments in transit', async (t) => {
  const servers = await startServers(t)
  let most = 0
  const watched: Network = {
    ...tcpNetwork,
    async connect(address, timeoutMs, events) {
      const connection = await tcpNetwork.connect(address, timeoutMs, events)
      const { send } = connection
      connection.send = (parts) => {
        send.call(connection, parts)
        most = Math.max(most, connection.queuedBytes)
      }
      return connection
    },
  }
  const cluster = await servers.connect(t, servers.config(), watched)
  const store = new ContentStore(cluster)
  const random = new Seeded(19)
  const bytes = random.bytes(5 * MiB)
  const all = Array.from({ length: 16 }, () => prepare(bytes, random))
  await Promise.all(all.map((prepared) => store.writer.put(prepared)))
  t.ok(most > 0)
  t.ok(most <= limits.putFramesInFlightMax * limits.frameBytesMax, `${most} bytes queued`)
  for (const prepared of all) t.equal(onDisk(servers, prepared.segment.id).flat().length, 8)
})
