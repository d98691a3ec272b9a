import { execFileSync } from 'node:child_process'
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { sleep, systemClock } from '../../../src/clock.js'
import { entriesOf } from '../../../src/dfc/namespace/journal.js'
import { FileJournal } from '../../../src/fuse/daemon/journal-file.js'
import { limits } from '../../../src/limits.js'
import { redirectNotices } from '../../../src/log.js'
import { ownProcess } from '../../../src/process-id.js'
import { CutDisk, noCutDisk } from '../../fixtures/cut-disk.js'
import { contentOf, journalEntry } from '../../fixtures/journal-entries.js'
import { temporaryFolder } from '../../fixtures/mortal.js'
import { fillDisk, mountSmallDisk, noSmallDisk } from '../../fixtures/small-disk.js'

/** The name of a process that has ended. */
const dead = (number: number): string => `dead-0-${number}`
const idsOf = ({ left }: FileJournal): readonly string[] => left.map(({ id }) => id)
const ids = (...indexes: readonly number[]): readonly string[] =>
  indexes.map((index) => journalEntry(index).id)

t.test('a journal takes over what dead processes have left, in order and once', async (t) => {
  const folder = join(t.testdir(), 'journals')
  const first = new FileJournal(folder, dead(1))
  first.append(journalEntry(0))
  first.append(journalEntry(1, 500))
  first.append(journalEntry(2))
  first.forget(journalEntry(0).id)
  const second = new FileJournal(folder, dead(2))
  t.same(idsOf(second), ids(1, 2))
  t.ok(contentOf(second.left[0] ?? journalEntry(9)).equals(contentOf(journalEntry(1, 500))))
  t.equal(readdirSync(folder).length, 1, 'there is one file')
  second.append(journalEntry(3))
  second.forget(journalEntry(1).id)
  t.same(idsOf(new FileJournal(folder, dead(3))), ids(2, 3))
})

t.test('a journal leaves alone what a process that lives has', async (t) => {
  const folder = t.testdir()
  const living = new FileJournal(folder, ownProcess())
  living.append(journalEntry(0))
  const other = new FileJournal(folder, dead(1))
  t.same(other.left, [])
  other.append(journalEntry(1))
  living.append(journalEntry(2))
  other.close()
  const next = new FileJournal(folder, dead(2))
  t.same(idsOf(next), ids(1))
  next.forget(journalEntry(1).id)
  next.close()
  t.same(idsOf(new FileJournal(folder, ownProcess())), ids(0, 2))
})

t.test('what was taken over twice, because of a kill in between, is there once', async (t) => {
  const folder = t.testdir()
  const first = new FileJournal(folder, dead(1))
  first.append(journalEntry(0))
  first.append({ ...journalEntry(1), id: journalEntry(0).id })
  first.append(journalEntry(2))
  const [name = ''] = readdirSync(folder)
  const bytes = readFileSync(join(folder, name))
  t.equal(new FileJournal(folder, dead(2)).left.length, 3)
  // As if the second had been killed before it removed the file of the first, and in the middle of a third.
  writeFileSync(join(folder, name), bytes)
  writeFileSync(join(folder, `${name}.new`), bytes.subarray(0, bytes.length / 2))
  const third = new FileJournal(folder, dead(3))
  t.same(idsOf(third), ids(0, 0, 2))
  t.equal(readdirSync(folder).length, 1, 'nothing else is left of the others')
})

t.test(
  'a journal that is needed no more takes no room, and no file once it is closed',
  async (t) => {
    const folder = t.testdir()
    const journal = new FileJournal(folder, dead(1))
    const path = join(folder, readdirSync(folder)[0] ?? '')
    journal.append(journalEntry(0, 1_000))
    journal.append(journalEntry(1, 1_000))
    t.ok(statSync(path).size > 2_000)
    journal.forget(journalEntry(0).id)
    journal.forget(journalEntry(1).id)
    t.equal(statSync(path).size, 0)
    journal.close()
    t.notOk(existsSync(path))
  },
)

/** Fills a journal beyond its bound with what is not needed, but for `needed`. Returns the number of changes. */
function fill(journal: FileJournal, needed: ReadonlySet<number>): number {
  const bytes = 64 * 1024
  const count = Math.ceil(limits.journalBytesMax / bytes) + 16
  for (let index = 0; index < count; index += 1) {
    journal.append(journalEntry(index, bytes))
    if (!needed.has(index)) journal.forget(journalEntry(index).id)
  }
  return count
}

t.test('a journal beyond its bound is written anew with what is needed', async (t) => {
  const folder = t.testdir()
  const journal = new FileJournal(folder, dead(1))
  const count = fill(journal, new Set([3, 700]))
  const [name = '', ...others] = readdirSync(folder)
  t.same(others, [])
  t.ok(statSync(join(folder, name)).size < limits.journalBytesMax / 2)
  journal.append(journalEntry(count))
  t.same(idsOf(new FileJournal(folder, dead(2))), ids(3, 700, count))
})

/** What the program says from now on. */
function recordNotices(): string[] {
  const lines: string[] = []
  redirectNotices((line) => lines.push(line))
  return lines
}

/** The name under which another process has left a journal, and the process that takes it over. */
const self = 'boot-7-7-1'
const processes: Readonly<Record<string, readonly [owner: string, isPartial: boolean]>> = {
  'that was killed': ['boot-5-5-1', false],
  'from before the machine was restarted': ['other-5-5-1', true],
  'in another container': ['boot-5-5-2', true],
}

for (const [which, [owner, isPartial]] of Object.entries(processes)) {
  t.test(`of the journal of a process ${which}, transactions may be whole or not`, async (t) => {
    const folder = t.testdir()
    const left = new FileJournal(folder, owner)
    left.append(journalEntry(0))
    left.append(journalEntry(1, 500))
    const first = new FileJournal(folder, self)
    t.same(idsOf(first), ids(0, 1))
    t.ok(first.left.every((one) => (one.isPartial ?? false) === isPartial))
    first.append(journalEntry(2))
    first.forget(journalEntry(0).id)
    const second = new FileJournal(folder, 'boot-8-8-1')
    t.same(idsOf(second), ids(1, 2))
    t.same(
      second.left.map((one) => one.isPartial ?? false),
      [isPartial, false],
      'the next one knows as well',
    )
  })
}

t.test(
  'a power cut does not take a journal that was on the disk',
  { skip: noCutDisk },
  async (t) => {
    const disk = new CutDisk(temporaryFolder('dfs-journal-'), '32m')
    t.teardown(() => disk.unmount())
    const folder = join(disk.path, 'journals')
    const first = new FileJournal(folder, dead(1))
    first.append(journalEntry(0, 60_000))
    first.append(journalEntry(1, 60_000))
    first.close()
    execFileSync('sync', ['-f', folder])
    const second = new FileJournal(folder, dead(2))
    t.same(idsOf(second), ids(0, 1))
    second.close()
    // The removal of the first is on the disk by then.
    await sleep(systemClock, 2_500)
    disk.cut()
    t.same(readdirSync(folder), [`${dead(2)}.journal-1`])
    t.same(idsOf(new FileJournal(folder, dead(3))), ids(0, 1))
  },
)

t.test('what a mount adds to a journal that another one has read is there', async (t) => {
  const folder = t.testdir()
  const first = new FileJournal(folder, dead(9))
  const changes = [0, 1, 2].map((index) => ({ ...journalEntry(index), id: journalEntry(0).id }))
  for (const change of changes.slice(0, 2)) first.append(change)
  t.equal(new FileJournal(folder, dead(1)).left.length, 2)
  // It is not dead: it finds its journal gone.
  for (const change of changes.slice(2)) first.append(change)
  t.equal(readdirSync(folder).length, 2)
  t.same(idsOf(new FileJournal(folder, dead(3))), ids(0, 0, 0))
})

t.test('of a damaged journal the rest is taken over, and it is kept', async (t) => {
  const folder = t.testdir()
  const left = new FileJournal(folder, dead(1))
  for (const index of [0, 1, 2]) left.append(journalEntry(index, 500))
  const [name = ''] = readdirSync(folder)
  const bytes = readFileSync(join(folder, name))
  bytes[700] = (bytes[700] ?? 0) ^ 1
  writeFileSync(join(folder, name), bytes)
  const lines = recordNotices()
  const journal = new FileJournal(folder, dead(2))
  t.same(idsOf(journal), ids(0, 2))
  t.match(lines.join(''), `bytes of ${join(folder, name)} are damaged`)
  t.ok(readFileSync(join(folder, `${name}.damaged`)).equals(bytes))
  journal.close()
  t.same(idsOf(new FileJournal(folder, dead(3))), ids(0, 2))
})

t.test('a journal that cannot be read is left alone, and others are taken over', async (t) => {
  const folder = t.testdir({ [`${dead(1)}.journal-1`]: {} })
  new FileJournal(folder, dead(2)).append(journalEntry(0))
  const lines = recordNotices()
  t.same(idsOf(new FileJournal(folder, dead(3))), ids(0))
  t.match(lines.join(''), `${dead(1)}.journal-1 cannot be read`)
  t.ok(existsSync(join(folder, `${dead(1)}.journal-1`)))
})

t.test('a journal that somebody has removed is written anew before the next answer', async (t) => {
  const folder = join(t.testdir(), 'journals')
  const journal = new FileJournal(folder, dead(1))
  journal.append(journalEntry(0, 500))
  journal.append(journalEntry(1))
  journal.forget(journalEntry(1).id)
  rmSync(folder, { recursive: true })
  journal.append(journalEntry(2))
  t.same(idsOf(new FileJournal(folder, dead(2))), ids(0, 2))
})

t.test('on a full local disk', { skip: noSmallDisk }, async (t) => {
  const folder = temporaryFolder('dfs-journal-')
  t.teardown(mountSmallDisk(folder, '70m'))
  const filling = join(folder, 'filling')

  t.test('a change is refused, and later ones are right', async (t) => {
    const journals = join(folder, 'refused')
    const journal = new FileJournal(journals, dead(1))
    journal.append(journalEntry(0))
    fillDisk(filling)
    t.throws(() => journal.append(journalEntry(1, 60_000)), { code: 'ENOSPC' })
    truncateSync(filling, 0)
    journal.append(journalEntry(2))
    t.same(idsOf(new FileJournal(journals, dead(2))), ids(0, 2))
  })

  t.test('what mounts have left is there, and stays where it is until it is stored', async (t) => {
    const journals = join(folder, 'left')
    const left = new FileJournal(journals, dead(1))
    for (const index of [0, 1]) left.append(journalEntry(index, 60_000))
    fillDisk(filling)
    const journal = new FileJournal(journals, dead(2))
    t.same(idsOf(journal), ids(0, 1))
    t.throws(() => journal.append(journalEntry(2)), { code: 'ENOSPC' })
    journal.forget(journalEntry(0).id)
    t.same(idsOf(new FileJournal(journals, dead(3))), ids(0, 1), 'one that is killed loses nothing')
    journal.forget(journalEntry(1).id)
    t.same(readdirSync(journals), [`${dead(2)}.journal-1`])
    truncateSync(filling, 0)
    journal.append(journalEntry(3))
    t.same(idsOf(new FileJournal(journals, dead(4))), ids(3))
  })

  t.test('a journal that cannot be written anew keeps what is needed', async (t) => {
    const journals = join(folder, 'bound')
    const journal = new FileJournal(journals, dead(1))
    // More than fits a second time.
    const needed = Array.from({ length: 300 }, (_, index) => index)
    const count = fill(journal, new Set(needed))
    journal.append(journalEntry(count))
    journal.append(journalEntry(count + 1))
    journal.forget(journalEntry(count).id)
    t.same(
      readdirSync(journals).filter((name) => name.endsWith('.new')),
      [],
    )
    const [name = ''] = readdirSync(journals)
    const left = entriesOf(readFileSync(join(journals, name)))
    t.same(
      left.map(({ id }) => id),
      ids(...needed, count + 1),
    )
  })
})
