import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import t, { type Test } from 'tap'
import { FileVoteLog } from '../../../src/dfs/quorum/vote-log.js'
import { Seeded } from '../../fixtures/seeded.js'

const random = new Seeded(41)
const entriesOf = (count: number, bytes = 100): Buffer[] =>
  Array.from({ length: count }, () => random.bytes(bytes))

function pathOf(t: Test): string {
  return join(t.testdir({}), 'votes')
}

/** As after the process was killed: nothing was closed. */
const readBy = (path: string): readonly Buffer[] => new FileVoteLog(path).read()

t.test('what was appended is there after a kill, in its order', async (t) => {
  const path = pathOf(t)
  const log = new FileVoteLog(path)
  const entries = entriesOf(5)
  log.append(entries.slice(0, 2))
  log.append(entries.slice(2))
  await log.sync()
  t.same(readBy(path), entries)
  const next = new FileVoteLog(path)
  const more = entriesOf(3)
  next.append(more)
  t.same(readBy(path), [...entries, ...more], 'the next process goes on behind it')
})

t.test('the file is used again, and nothing of before comes back', async (t) => {
  const path = pathOf(t)
  const log = new FileVoteLog(path)
  log.append(entriesOf(11, 100_000))
  const { size } = statSync(path)
  log.clear()
  t.same(readBy(path), [])
  // Of just the length that the old ones had: the next old one lies exactly behind it.
  const entries = entriesOf(1, 100_000)
  log.append(entries)
  t.same(readBy(path), entries)
  t.equal(statSync(path).size, size)
})

t.test('a log that is not full keeps what is in the index as well', async (t) => {
  const path = pathOf(t)
  const log = new FileVoteLog(path)
  const entries = entriesOf(2)
  log.append(entries.slice(0, 1))
  log.clear()
  log.append(entries.slice(1))
  t.same(readBy(path), entries)
})

t.test('says when what was synced is about to go', async (t) => {
  const log = new FileVoteLog(pathOf(t))
  log.append(entriesOf(11, 100_000))
  t.notOk(log.dropsSynced, 'nobody relies on it')
  const syncing = log.sync()
  t.ok(log.dropsSynced, 'as soon as somebody asks for it')
  await syncing
  log.clear()
  t.notOk(log.dropsSynced)
  log.append(entriesOf(1))
  await log.sync()
  t.notOk(log.dropsSynced, 'it stays for now')
})

t.test('an entry that is cut short or rotten ends it', async (t) => {
  const path = pathOf(t)
  const log = new FileVoteLog(path)
  const entries = entriesOf(3)
  log.append(entries)
  const whole = readFileSync(path)
  const thirdAt = 8 + 2 * 108
  truncateSync(path, thirdAt + 50)
  t.same(readBy(path), entries.slice(0, 2))
  whole.writeUInt8(whole.readUInt8(thirdAt + 20) ^ 1, thirdAt + 20)
  writeFileSync(path, whole)
  t.same(readBy(path), entries.slice(0, 2))
  whole.fill(0, thirdAt)
  writeFileSync(path, whole)
  t.same(readBy(path), entries.slice(0, 2), 'zeros are no entry')
})

t.test('one that has rotted does not hide those behind it, and is told of', async (t) => {
  const path = pathOf(t)
  const log = new FileVoteLog(path)
  const entries = entriesOf(4, 1000)
  // An old one that looks like an entry must not be taken for one.
  log.append(entriesOf(11, 100_000))
  log.clear()
  log.append(entries)
  const whole = readFileSync(path)
  t.notOk(new FileVoteLog(path).hasRotted)
  const secondAt = 8 + 1008
  for (const at of [secondAt, secondAt + 2, secondAt + 5, secondAt + 500]) {
    const rotten = Buffer.from(whole)
    rotten.writeUInt8(rotten.readUInt8(at) ^ 4, at)
    writeFileSync(path, rotten)
    const again = new FileVoteLog(path)
    t.same(again.read(), [entries[0], entries[2], entries[3]], `a bit at ${at}`)
    t.ok(again.hasRotted)
  }
  const more = entriesOf(1)
  const again = new FileVoteLog(path)
  again.append(more)
  t.same(readBy(path), [entries[0], entries[2], entries[3], ...more])
})

t.test('the last one cannot be told from one that was cut short', async (t) => {
  const path = pathOf(t)
  const entries = entriesOf(2)
  new FileVoteLog(path).append(entries)
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(8 + 108 + 20) ^ 1, 8 + 108 + 20)
  writeFileSync(path, bytes)
  const log = new FileVoteLog(path)
  t.same(log.read(), entries.slice(0, 1))
  t.notOk(log.hasRotted)
})

t.test('reads what an older program left, and begins anew', async (t) => {
  const path = pathOf(t)
  const entries = entriesOf(2)
  const heads = entries.map((entry) => {
    const head = Buffer.alloc(8)
    head.writeUInt32BE(entry.length, 0)
    head.writeUInt32BE(crc32(entry), 4)
    return head
  })
  writeFileSync(path, Buffer.concat(entries.flatMap((entry, i) => [heads[i] ?? entry, entry])))
  const log = new FileVoteLog(path)
  t.same(log.read(), entries)
  t.ok(log.dropsSynced, 'which may have been synced')
  log.clear()
  const more = entriesOf(1)
  log.append(more)
  t.same(readBy(path), more)
})

t.test('leaves a file behind only while it is needed', async (t) => {
  const path = pathOf(t)
  const log = new FileVoteLog(path)
  log.append(entriesOf(1))
  log.close(true)
  t.ok(existsSync(path))
  const next = new FileVoteLog(path)
  next.clear()
  next.close(false)
  t.ok(existsSync(path), 'the index may still lose what was cleared')
  const last = new FileVoteLog(path)
  last.clear()
  last.close(true)
  t.notOk(existsSync(path))
})
