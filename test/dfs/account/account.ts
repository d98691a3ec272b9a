import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { sleep, systemClock } from '../../../src/clock.js'
import { build, wholeSlice } from '../../../src/dfc/content/extents.js'
import { limits } from '../../../src/limits.js'
import { checksumsOf } from '../../../src/wire/checksum.js'
import type { Request } from '../../../src/wire/messages.js'
import { inodeKey } from '../../../src/wire/records.js'
import { noVersion, versionOf } from '../../../src/wire/version.js'
import { beginAccount } from '../../fixtures/bystander.js'
import { sampleInode } from '../../fixtures/inodes.js'
import { emptyTransaction, hurriedClock, startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'
import { Seeded } from '../../fixtures/seeded.js'
import { until } from '../../fixtures/servers.js'

const { blockBytes, framePayloadBytesMax } = limits
const random = new Seeded(23)
const newSegment = () => random.bytes(16).toString('hex')

interface Part {
  readonly fields: Request<'putPiece'>
  readonly payload: Buffer
}

/** A piece as the parts in which it travels, 256 KiB each. */
function partsOf(
  segment: string,
  piece: number,
  bytes: Buffer,
  partBytes = 4 * blockBytes,
): Part[] {
  const parts: Part[] = []
  for (let offset = 0; offset === 0 || offset < bytes.length; offset += partBytes) {
    const payload = bytes.subarray(offset, offset + partBytes)
    const checksums = checksumsOf(payload)
    const pieceLength = bytes.length
    parts.push({ fields: { segment, piece, pieceLength, offset, checksums }, payload })
  }
  return parts
}

function put(client: RawClient, parts: readonly Part[]): Promise<unknown> {
  return Promise.all(parts.map(({ fields, payload }) => client.call('putPiece', fields, payload)))
}

async function heldOf(client: RawClient, segment: string): Promise<number | undefined> {
  return (await client.call('held', { segments: [segment] })).held[0]?.pieces
}

/** A server on a folder with a client of alice. */
async function open(t: Test) {
  const folder = t.testdir({})
  const one = await startServer(t, { folder })
  const client = await RawClient.open(one.port)
  const own = join(folder, 'alice')
  const file = (segment: string, piece: number) =>
    join(own, 'pieces', segment.slice(0, 2), `${segment}.${piece}`)
  return { ...one, client, own, file }
}

t.test('keeps a piece that came in parts as one file of just its bytes', async (t) => {
  const { client, file, own } = await open(t)
  for (const length of [
    16_385,
    blockBytes,
    4 * blockBytes,
    4 * blockBytes + 1,
    20 * blockBytes - 5,
  ]) {
    const [segment, bytes] = [newSegment(), random.bytes(length)]
    await put(client, partsOf(segment, 2, bytes))
    t.ok(readFileSync(file(segment, 2)).equals(bytes), `${length} bytes`)
    t.equal(await heldOf(client, segment), 0b0010)
  }
  t.same(readdirSync(join(own, 'uploads')), [])
})

t.test('shows a piece only when its last part has come', async (t) => {
  const { client, file } = await open(t)
  const [segment, bytes] = [newSegment(), random.bytes(10 * blockBytes)]
  const parts = partsOf(segment, 1, bytes)
  await put(client, parts.slice(0, -1))
  t.equal(await heldOf(client, segment), 0)
  t.notOk(existsSync(file(segment, 1)))
  await put(client, parts.slice(-1))
  t.equal(await heldOf(client, segment), 1)
})

t.test('holds an empty piece without a file', async (t) => {
  const { client, file } = await open(t)
  const segment = newSegment()
  await put(client, partsOf(segment, 4, Buffer.alloc(0)))
  t.equal(await heldOf(client, segment), 0b1000)
  t.notOk(existsSync(file(segment, 4)))
  const got = await client.ask('getPiece', { segment, piece: 4, offset: 0, length: 10 })
  t.same(got.reply, { pieceLength: 0, offset: 0, checksums: [] })
  t.equal(got.payload.length, 0)
})

t.test('gives whole blocks around the wanted bytes, with their checksums', async (t) => {
  const { client } = await open(t)
  const [segment, bytes] = [newSegment(), random.bytes(40 * blockBytes + 100)]
  await put(client, partsOf(segment, 3, bytes))
  const ranges: readonly (readonly [number, number, number, number])[] = [
    [0, 1, 0, blockBytes],
    [blockBytes - 1, 2, 0, 2 * blockBytes],
    [3 * blockBytes, blockBytes, 3 * blockBytes, 4 * blockBytes],
    [40 * blockBytes + 5, 1, 40 * blockBytes, bytes.length],
    [39 * blockBytes, 0xffff_ffff, 39 * blockBytes, bytes.length],
    [100, framePayloadBytesMax, 0, framePayloadBytesMax],
    [bytes.length, 10, 40 * blockBytes, bytes.length],
  ]
  for (const [offset, length, from, to] of ranges) {
    const { reply, payload } = await client.ask('getPiece', { segment, piece: 3, offset, length })
    const wanted = bytes.subarray(from, to)
    t.equal(reply.offset, from)
    t.equal(reply.pieceLength, bytes.length)
    t.same(reply.checksums, checksumsOf(wanted))
    t.ok(payload.equals(wanted), `${length} bytes at ${offset}`)
  }
})

t.test('refuses parts that are not what they should be, and stays well', async (t) => {
  const { client, own } = await open(t)
  const [segment, bytes] = [newSegment(), random.bytes(10 * blockBytes)]
  const parts = partsOf(segment, 1, bytes)
  const [first, second, third] = parts
  if (!first || !second || !third) throw new Error('three parts')
  const wrong: readonly (readonly [string, string, Part])[] = [
    ['in the middle', 'invalid', second],
    ['piece 0', 'invalid', { ...first, fields: { ...first.fields, piece: 0 } }],
    ['piece 5', 'invalid', { ...first, fields: { ...first.fields, piece: 5 } }],
    ['not at a block', 'invalid', { ...third, fields: { ...third.fields, offset: 1 } }],
    ['cut block', 'invalid', { ...first, payload: first.payload.subarray(1) }],
    ['empty part', 'invalid', { ...first, payload: Buffer.alloc(0) }],
    ['beyond its end', 'invalid', { ...first, fields: { ...first.fields, pieceLength: 10 } }],
    ['too long', 'invalid', { ...first, fields: { ...first.fields, pieceLength: 2 ** 31 } }],
    ['damaged', 'corrupt', { ...first, payload: Buffer.from(first.payload).fill(0, 9, 10) }],
    ['without checksums', 'corrupt', { ...first, fields: { ...first.fields, checksums: [] } }],
  ]
  for (const [name, code, part] of wrong) await t.rejects(put(client, [part]), { code }, name)
  await put(client, [first])
  await t.rejects(put(client, [third]), { code: 'invalid' }, 'a part was left out')
  await t.rejects(put(client, [second]), { code: 'invalid' }, 'which ended the upload')
  t.equal(await heldOf(client, segment), 0)
  t.same(readdirSync(join(own, 'uploads')), [])
  await put(client, parts)
  t.equal(await heldOf(client, segment), 1)
})

t.test('lets a client begin a piece anew and put it again', async (t) => {
  const { client, file } = await open(t)
  const [segment, bytes] = [newSegment(), random.bytes(10 * blockBytes)]
  const parts = partsOf(segment, 1, bytes)
  await put(client, parts.slice(0, 1))
  await put(client, parts)
  await put(client, parts)
  t.ok(readFileSync(file(segment, 1)).equals(bytes))
  const other = partsOf(segment, 1, random.bytes(10 * blockBytes))
  await t.rejects(put(client, other), { code: 'invalid', message: /pieces never change/ })
  t.ok(readFileSync(file(segment, 1)).equals(bytes))
})

t.test('takes the same piece from two clients at once', async (t) => {
  const { client, file, port } = await open(t)
  const second = await RawClient.open(port)
  const [segment, bytes] = [newSegment(), random.bytes(30 * blockBytes)]
  const parts = partsOf(segment, 1, bytes)
  await Promise.all([put(client, parts), put(second, parts)])
  t.ok(readFileSync(file(segment, 1)).equals(bytes))
  const { pieces, pieceBytes } = await client.call('status', {})
  t.same([pieces, pieceBytes], [1, bytes.length])
})

t.test('forgets the unfinished pieces of a lost connection', async (t) => {
  const { client, own, port } = await open(t)
  const parts = partsOf(newSegment(), 1, random.bytes(10 * blockBytes))
  await put(client, parts.slice(0, 2))
  t.equal(readdirSync(join(own, 'uploads')).length, 1)
  client.close()
  await until(() => readdirSync(join(own, 'uploads')).length === 0)
  const again = await RawClient.open(port)
  await t.rejects(put(again, parts.slice(2)), { code: 'invalid' })
})

t.test('bounds the pieces that one connection may leave unfinished', async (t) => {
  const { client, own } = await open(t)
  const begin = () =>
    put(client, partsOf(newSegment(), 1, random.bytes(2 * blockBytes), blockBytes).slice(0, 1))
  for (let count = 0; count < limits.uploadsMax; count += 1) await begin()
  await t.rejects(begin(), { code: 'overloaded' })
  t.equal(readdirSync(join(own, 'uploads')).length, limits.uploadsMax)
})

t.test('notices rot, says so, and takes the good piece again', async (t) => {
  const { client, file, notices } = await open(t)
  const [segment, bytes] = [newSegment(), random.bytes(3 * blockBytes)]
  const parts = partsOf(segment, 2, bytes)
  await put(client, parts)
  const rotten = Buffer.from(bytes)
  rotten.writeUInt8(rotten.readUInt8(blockBytes + 7) ^ 4, blockBytes + 7)
  writeFileSync(file(segment, 2), rotten)
  const get = { segment, piece: 2, offset: 0, length: bytes.length }
  await t.rejects(client.call('getPiece', get), { code: 'corrupt' })
  t.match(notices.at(-1), `alice: piece 2 of ${segment} is corrupt on the disk`)
  t.ok(await client.call('getPiece', { ...get, length: 1 }), 'the other blocks are still good')
  writeFileSync(file(segment, 2), bytes.subarray(0, 100))
  await t.rejects(client.call('getPiece', get), { code: 'corrupt' }, 'a piece that was cut')
  await put(client, parts)
  t.ok((await client.ask('getPiece', get)).payload.equals(bytes))
})

t.test('takes the good piece where the index itself tells of another one', async (t) => {
  const { client, own, server, file } = await open(t)
  const pieces = [100, 70_000, 300_000].map((length) => {
    const [segment, bytes] = [newSegment(), random.bytes(length)]
    return { segment, bytes, parts: partsOf(segment, 2, bytes) }
  })
  for (const { parts } of pieces) await put(client, parts)
  await server.stop(0)
  const index = new Database(join(own, 'index.db'))
  index.prepare('UPDATE pieces SET checksums = ?').run(Buffer.alloc(20))
  index.prepare("UPDATE pieces SET checksums = x'' WHERE length = 70000").run()
  index.close()
  const again = await startServer(t, { folder: join(own, '..') })
  const next = await RawClient.open(again.port)
  for (const { segment, bytes, parts } of pieces) {
    const get = { segment, piece: 2, offset: 0, length: bytes.length }
    await t.rejects(next.call('getPiece', get), { code: 'corrupt' })
    await put(next, parts)
    t.ok((await next.ask('getPiece', get)).payload.equals(bytes))
    const other = partsOf(segment, 2, random.bytes(bytes.length))
    await t.rejects(put(next, other), { code: 'invalid' }, 'one that is good stays')
    t.ok((await next.ask('getPiece', get)).payload.equals(bytes))
  }
  const [, , big] = pieces
  t.ok(readFileSync(file(big?.segment ?? '', 2)).equals(big?.bytes ?? Buffer.alloc(0)))
  const { pieces: count, pieceBytes } = await next.call('status', {})
  t.same([count, pieceBytes], [3, 370_100], 'counted once')
})

t.test('keeps a small piece in its index: no file, the same answers', async (t) => {
  const { client, file } = await open(t)
  for (const length of [1, 1000, 16_384]) {
    const [segment, bytes] = [newSegment(), random.bytes(length)]
    await put(client, partsOf(segment, 3, bytes))
    t.equal(existsSync(file(segment, 3)), false)
    t.equal(await heldOf(client, segment), 0b0100)
    const { payload } = await client.ask('getPiece', { segment, piece: 3, offset: 0, length })
    t.ok(payload.equals(bytes), `${length} bytes`)
    await client.call('dropPieces', { segment, pieces: 0b0100 })
    t.equal(await heldOf(client, segment), 0)
  }
})

t.test('no longer claims to hold a piece whose file is gone', async (t) => {
  const { client, file, notices } = await open(t)
  const [segment, bytes] = [newSegment(), random.bytes(20_000)]
  await put(client, partsOf(segment, 2, bytes))
  rmSync(file(segment, 2))
  const get = { segment, piece: 2, offset: 0, length: bytes.length }
  await t.rejects(client.call('getPiece', get), { code: 'noPiece' })
  t.match(notices.at(-1), `alice: piece 2 of ${segment} is gone from the disk`)
  t.equal(await heldOf(client, segment), 0)
  await t.rejects(client.call('getPiece', get), { code: 'noPiece' })
})

t.test('stores the pieces inside a commit before it votes', async (t) => {
  const { client, file } = await open(t)
  const { stamp } = await client.call('status', {})
  const incarnations = [stamp.incarnation, 1, 2, 3]
  const [segment, bytes] = [newSegment(), random.bytes(100_000)]
  const payload = Buffer.concat([bytes, bytes.subarray(0, 10)])
  const pieces = [
    { segment, piece: 1, length: bytes.length, checksums: checksumsOf(bytes) },
    { segment, piece: 2, length: 10, checksums: checksumsOf(bytes.subarray(0, 10)) },
  ]
  const commit = emptyTransaction(pieces)
  await t.rejects(client.call('commit', commit, payload), { code: 'blank' })
  t.equal(await heldOf(client, segment), 0, 'a blank account keeps nothing of it')

  await client.call('found', { incarnations })
  const damaged = Buffer.from(payload).fill(0, 50, 60)
  await t.rejects(client.call('commit', commit, damaged), { code: 'corrupt' })
  await t.rejects(client.call('commit', commit, payload.subarray(0, -1)), { code: 'protocol' })
  await t.rejects(client.call('commit', commit, Buffer.concat([payload, payload])), {
    code: 'protocol',
  })
  t.match(await client.call('commit', commit, payload), { outcome: 'yes' })
  t.equal(await heldOf(client, segment), 0b0011)
  t.ok(readFileSync(file(segment, 1)).equals(bytes))
  t.match(await client.call('commit', commit, payload), { outcome: 'yes' }, 'sent again')
})

t.test('a commit that comes too late brings no piece beyond the placement', async (t) => {
  const { client } = await open(t)
  await client.call('claim', { cluster: newSegment(), position: 0 })
  const { stamp } = await client.call('status', {})
  const { incarnation } = stamp
  await client.call('found', { incarnations: [incarnation, 1, 2, 3] })
  const bytes = random.bytes(1000)
  const checksums = checksumsOf(bytes)
  const payload = Buffer.concat([bytes, bytes, bytes])

  /** A change to this file with its content, a pair and a spare piece of it, as clients send it. */
  const changeOf = (ino: number) => {
    const segment = newSegment()
    const pieces = [1, 2, 4].map((piece) => ({ segment, piece, length: bytes.length, checksums }))
    const value = sampleInode(
      build(4000, [wholeSlice({ id: segment, length: 4000, md5: '0'.repeat(32) })]),
    )
    const body = {
      writes: [{ key: inodeKey(ino), value }],
      preconditions: [{ key: inodeKey(ino), absent: true, version: noVersion }],
      emptyFolders: [],
    }
    return { segment, value, commit: { ...emptyTransaction(pieces), body } }
  }
  const repair = async ({ segment, value, commit }: ReturnType<typeof changeOf>) => {
    const registers = [{ key: commit.body.writes[0]?.key ?? '', version: commit.id, value }]
    await client.call('install', { registers })
    for (const piece of [1, 2]) await put(client, partsOf(segment, piece, bytes))
  }

  const installed = changeOf(7)
  await repair(installed)
  t.match(await client.call('commit', installed.commit, payload), { outcome: 'conflict' })
  t.equal(await heldOf(client, installed.segment), 0b0011, 'repair had put it in place')

  const missing = changeOf(8)
  t.match(await client.call('commit', missing.commit, payload), { outcome: 'yes' })
  t.equal(await heldOf(client, missing.segment), 0b1011, 'a vote keeps its spare piece')
  const decisions = [{ id: missing.commit.id, commit: true, body: null, spares: [] }]
  await client.call('decide', { decisions })

  const forgotten = changeOf(9)
  const floor = versionOf(Date.now() + 1000, 0, '00000000')
  t.match(await client.call('floor', { floor, incarnation }), { raised: true })
  t.match(await client.call('commit', forgotten.commit, payload), { outcome: 'fence' })
  t.equal(await heldOf(client, forgotten.segment), 0, 'all four know what became of it')
})

t.test('a vote that is in the index and still in the log brings nothing back', async (t) => {
  const { client, own } = await open(t)
  const { stamp } = await client.call('status', {})
  await client.call('found', { incarnations: [stamp.incarnation, 1, 2, 3] })
  const [segment, bytes] = [newSegment(), random.bytes(1000)]
  const pieces = [1, 2, 4].map((piece) => ({
    segment,
    piece,
    length: bytes.length,
    checksums: checksumsOf(bytes),
  }))
  const commit = emptyTransaction(pieces)
  const vote = await client.call('commitSynced', commit, Buffer.concat([bytes, bytes, bytes]))
  t.match(vote, { outcome: 'yes' })
  t.equal(await heldOf(client, segment), 0b1011)
  const spares = [{ segment, piece: 4 }]
  await client.call('decide', { decisions: [{ id: commit.id, commit: true, body: null, spares }] })
  t.equal(await heldOf(client, segment), 0b0011)

  // What a process that is killed now leaves behind.
  const folder = join(own, '..', 'copy')
  cpSync(own, join(folder, 'alice'), { recursive: true })
  const again = await startServer(t, { folder })
  const client2 = await RawClient.open(again.port)
  t.equal(await heldOf(client2, segment), 0b0011)
  t.match(await client2.call('status', {}), { undecided: 0, pieces: 2 })
})

t.test('an account whose log of votes has rotted does not vote until it is repaired', async (t) => {
  const { client, own } = await open(t)
  const { stamp } = await client.call('status', {})
  await client.call('found', { incarnations: [stamp.incarnation, 1, 2, 3] })
  for (let vote = 0; vote < 3; vote += 1) {
    const bytes = random.bytes(1000)
    const pieces = [
      { segment: newSegment(), piece: 1, length: bytes.length, checksums: checksumsOf(bytes) },
    ]
    t.match(await client.call('commit', emptyTransaction(pieces), bytes), { outcome: 'yes' })
    // Each has a version of its own.
    await sleep(systemClock, 2)
  }

  // What a process that is killed now leaves behind, and then rots.
  const folder = join(own, '..', 'copy')
  cpSync(own, join(folder, 'alice'), { recursive: true })
  const votes = join(folder, 'alice', 'votes')
  const log = readFileSync(votes)
  log.writeUInt8(log.readUInt8(600) ^ 1, 600)
  writeFileSync(votes, log)
  const again = await startServer(t, { folder })
  const client2 = await RawClient.open(again.port)
  t.match(await client2.call('status', {}), { state: 'unsure', undecided: 2 })
  t.match(again.notices.join('\n'), /votes on the disk are corrupt/)
})

t.test('an upload is not taken for an old one when the clock of the machine is set', async (t) => {
  const folder = t.testdir({})
  let aheadMs = 0
  const clock = { ...systemClock, now: () => systemClock.now() + aheadMs }
  const { port } = await startServer(t, { folder, clock })
  const client = await RawClient.open(port)
  const incarnation = await beginAccount(client)
  const segment = newSegment()
  await put(client, partsOf(segment, 1, random.bytes(100_000)))
  aheadMs = 2 * limits.abandonedPieceGraceMs
  const floor = versionOf(Date.now(), 0, '00000000')
  t.match(await client.call('floor', { floor, incarnation }), { raised: true })
  // The collector is at work a moment after that.
  await sleep(systemClock, 100)
  t.equal(await heldOf(client, segment), 0b0001)
  t.ok((await client.call('status', {})).timeMs > Date.now() + limits.abandonedPieceGraceMs)
})

t.test('syncs the pieces of any segments, also of those it does not have', async (t) => {
  const { client } = await open(t)
  const [segment, bytes] = [newSegment(), random.bytes(3 * blockBytes)]
  await put(client, partsOf(segment, 2, bytes))
  const { stamp } = await client.call('sync', { segments: [segment, newSegment()] })
  t.ok(stamp.incarnation > 0)
})

t.test('small pieces are given many at a time, as far as they are here and whole', async (t) => {
  const { client, server, own } = await open(t)
  const segment = newSegment()
  const [small, large, rotting] = [random.bytes(1000), random.bytes(20_000), random.bytes(500)]
  await put(client, partsOf(segment, 1, small))
  await put(client, partsOf(segment, 2, large))
  await put(client, partsOf(segment, 3, rotting))
  await put(client, partsOf(segment, 4, Buffer.alloc(0)))
  const pieces = [1, 2, 3, 4].map((piece) => ({ segment, piece }))
  const asked = [...pieces, { segment: newSegment(), piece: 1 }]
  const piece = (bytes: Buffer) => ({ checksums: checksumsOf(bytes), bytes })
  t.same((await client.call('getSmallPieces', { pieces: asked })).pieces, [
    piece(small),
    null,
    piece(rotting),
    piece(Buffer.alloc(0)),
    null,
  ])
  await server.stop(0)
  const index = new Database(join(own, 'index.db'))
  index.prepare('UPDATE contents SET bytes = ? WHERE length(bytes) = 500').run(Buffer.alloc(500))
  index.close()
  const again = await startServer(t, { folder: join(own, '..') })
  const next = await RawClient.open(again.port)
  t.match((await next.call('getSmallPieces', { pieces })).pieces, [piece(small), null, null])
  await t.rejects(next.call('getPiece', { segment, piece: 3, offset: 0, length: 500 }), {
    code: 'corrupt',
  })
})

t.test('tells how much there is', async (t) => {
  const { client } = await open(t)
  t.match(await client.call('status', {}), { pieces: 0, pieceBytes: 0, registers: 0 })
  await put(client, partsOf(newSegment(), 2, random.bytes(1000)))
  await put(client, partsOf(newSegment(), 1, random.bytes(500)))
  const { pieces, pieceBytes, diskBytes, diskFreeBytes } = await client.call('status', {})
  t.same([pieces, pieceBytes], [2, 1500])
  t.ok(diskFreeBytes > 0 && diskFreeBytes < diskBytes)
})

t.test('finds everything again in the folder after a restart', async (t) => {
  const { client, server, own } = await open(t)
  const [segment, bytes] = [newSegment(), random.bytes(5 * blockBytes)]
  await put(client, partsOf(segment, 2, bytes))
  const before = await client.call('status', {})
  await server.stop()
  const again = await startServer(t, { folder: join(own, '..') })
  const reader = await RawClient.open(again.port)
  t.same((await reader.call('status', {})).stamp, before.stamp)
  const get = { segment, piece: 2, offset: 0, length: bytes.length }
  t.ok((await reader.ask('getPiece', get)).payload.equals(bytes))
})

t.test('closes an account some time after its last connection, and opens it again', async (t) => {
  const folder = t.testdir({})
  const { port } = await startServer(t, {
    folder,
    clock: hurriedClock(1000, limits.accountLingerMs),
  })
  const [segment, bytes] = [newSegment(), random.bytes(1000)]
  const isOpen = () => existsSync(join(folder, 'alice', 'index.db-wal'))
  const client = await RawClient.open(port)
  await put(client, partsOf(segment, 2, bytes))
  t.ok(isOpen())
  client.close()
  await until(() => !isOpen())
  const again = await RawClient.open(port)
  t.equal(await heldOf(again, segment), 0b0010)
})
