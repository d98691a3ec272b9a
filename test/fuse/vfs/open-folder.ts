import t from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.js'
import { Client } from '../../../src/dfc/client.js'
import { Activity } from '../../../src/fuse/mount/activity.js'
import { operationsOf } from '../../../src/fuse/mount/operations.js'
import type { Filesystem } from '../../../src/fuse/vfs/filesystem.js'
import { OpenFolder } from '../../../src/fuse/vfs/open-folder.js'
import { beginning, Positions, positionBehind } from '../../../src/fuse/vfs/positions.js'
import { limits } from '../../../src/limits.js'
import { tcpNetwork } from '../../../src/network.js'
import { fileType, rootIno } from '../../../src/wire/records.js'
import { filesystemOf } from '../../fixtures/drafts.js'
import { KernelModel } from '../../fixtures/kernel-model.js'
import { LeapingClock } from '../../fixtures/leaping-clock.js'
import { openClient } from '../../fixtures/library.js'
import { Seeded } from '../../fixtures/seeded.js'
import { startServers } from '../../fixtures/servers.js'

t.setTimeout(240_000)
const servers = await startServers(t)
const options = { network: tcpNetwork, random: systemRandom, config: servers.config() }

const numbered = (index: number): string => `n${String(index).padStart(6, '0')}`
const many = (count: number, step = 1): readonly string[] =>
  Array.from({ length: count }, (_, index) => numbered(index * step))
const symlink = { mode: fileType.symlink | 0o777, uid: 0, gid: 0, target: 'x' }

/** Folders by name, and the names in each. The large one is of several pages. */
const folders = {
  large: many(2 * limits.listEntriesMax + 104),
  old: many(300),
  moving: many(120, 10),
  three: ['a', 'b', 'c'],
} as const
const inos = await makeFolders()

/** Makes the folders with a client that is alone, so that many names travel in one transaction. */
async function makeFolders(): Promise<Readonly<Record<keyof typeof folders, number>>> {
  const maker = await Client.open({ ...options, clock: systemClock, lease: true })
  const { namespace } = maker
  const made: Partial<Record<string, number>> = {}
  for (const [name, names] of Object.entries(folders)) {
    const mode = fileType.folder | 0o755
    const { ino } = await namespace.create(rootIno, name, { mode, uid: 0, gid: 0 })
    for (const one of names) await namespace.create(ino, one, symlink)
    made[name] = ino
  }
  await maker.close()
  return made as Record<keyof typeof folders, number>
}

const uncached = { cache: false, keep: false, doubts: 0 }
const clock = new LeapingClock(1 / 1000)
const client = await Client.open({ ...options, clock, lease: false })
t.teardown(() => client.close())
const filesystem: Filesystem = filesystemOf(client, servers)
const elsewhere = await openClient(t, servers)

/** Opens a folder that counts the pages it requests. */
function counted(
  ino: number,
  positions = filesystem.positions,
  { namespace }: Pick<Client, 'namespace'> = client,
): { readonly folder: OpenFolder; readonly counts: { pages: number } } {
  const counts = { pages: 0 }
  const counting = {
    cachedEntry: namespace.names.cachedEntry.bind(namespace.names),
    known: namespace.names.known.bind(namespace.names),
    list: (folder: number, after: string) => {
      counts.pages += 1
      return namespace.names.list(folder, after)
    },
    async *pages(folder: number) {
      for await (const page of namespace.names.pages(folder)) {
        counts.pages += 1
        yield page
      }
    },
  }
  return { folder: new OpenFolder({ names: counting, ino, as: uncached, positions }), counts }
}

/** Returns all names and the position behind each. */
async function listAll(
  folder: OpenFolder,
): Promise<{ readonly name: string; readonly at: number }[]> {
  const all: { readonly name: string; readonly at: number }[] = []
  for (let at = beginning; ; at = all.at(-1)?.at ?? at) {
    // As many as fit into an answer.
    const names = (await folder.read(at)).entries.slice(0, 100)
    if (names.length === 0) return all
    for (const { name } of names) all.push({ name, at: filesystem.positions.behind(name) })
  }
}

t.test('a seek to any position costs a page at most', async (t) => {
  const [ino, names] = [inos.large, folders.large]
  const { folder, counts } = counted(ino)
  const all = await listAll(folder)
  t.same(
    all.map(({ name }) => name),
    names,
  )
  const pages = counts.pages
  const random = new Seeded(7)
  for (let count = 0; count < 4000; count += 1) {
    const index = random.below(names.length)
    const next = (await folder.read(all[index]?.at ?? 0)).entries
    if (next[0]?.name !== names[index + 1]) t.equal(next[0]?.name, names[index + 1])
  }
  t.equal(counts.pages, pages, 'what was read a moment ago is remembered')
  const other = counted(ino)
  const index = names.length - 200
  t.equal((await other.folder.read(all[index]?.at ?? 0)).entries[0]?.name, names[index + 1])
  t.equal(other.counts.pages, 1, 'by another open folder, which has read nothing')
})

t.test('a page too old for its attributes is read anew from the present position', async (t) => {
  const ino = inos.old
  const { folder, counts } = counted(ino)
  const all = await listAll(folder)
  clock.leap(1500)
  await elsewhere.namespace.create(ino, `${numbered(100)}+`, symlink)
  const pages = counts.pages
  const at = all[100]?.at ?? 0
  const next = [`${numbered(100)}+`, numbered(101)]
  t.same(
    (await folder.read(at)).entries.slice(0, 2).map(({ name }) => name),
    next,
  )
  t.same(
    (await folder.read(at)).entries.slice(0, 2).map(({ name }) => name),
    next,
  )
  t.equal((await folder.read(all[200]?.at ?? 0)).entries[0]?.name, numbered(201))
  t.equal(counts.pages, pages + 1)
})

t.test('positions stay where they were while names come and go', async (t) => {
  const [ino, names] = [inos.moving, folders.moving]
  const { folder } = counted(ino)
  const before = await listAll(folder)
  const removed = names.filter((_, index) => index % 3 === 0)
  const added = names.filter((_, index) => index % 7 === 0).map((name) => `${name}+`)
  await Promise.all(removed.map((name) => filesystem.unlink(ino, name)))
  await Promise.all([...added, 'a', 'z'].map((name) => client.namespace.create(ino, name, symlink)))
  const isGone = new Set(removed)
  const now = [...names.filter((name) => !isGone.has(name)), ...added, 'a', 'z'].toSorted()
  const stays = new Set(now.filter((name) => names.includes(name)))
  for (const { name, at } of before) {
    const wanted = now.filter((one) => one > name)
    const anew = (await counted(ino).folder.read(at)).entries.map((listed) => listed.name)
    if (anew.join() !== wanted.join()) t.same(anew, wanted, `behind ${name}, opened anew`)
    const further = (await folder.read(at)).entries.map((listed) => listed.name)
    const kept = further.filter((one) => stays.has(one))
    const due = wanted.filter((one) => stays.has(one))
    if (kept.join() !== due.join()) t.same(kept, due, `behind ${name}, further on`)
  }
  t.same(
    (await listAll(folder)).map(({ name }) => name),
    now,
    'from the beginning on it is as it is now',
  )
  t.same(
    (await folder.read(before[4]?.at ?? 0)).entries.map(({ name }) => name),
    now.filter((name) => name > (before[4]?.name ?? '')),
    'a position from before that is still one',
  )
})

t.test('a position from another mount is found', async (t) => {
  const { folder } = counted(inos.large, new Positions(), elsewhere)
  const [one = '', next, last = ''] = folders.large.slice(-3)
  t.equal((await folder.read(positionBehind(one))).entries[0]?.name, next)
  t.same((await folder.read(positionBehind(last))).entries, [])
  await t.rejects(folder.read(positionBehind('never there')), { code: 'invalid' })
})

t.test('the two folders that each has come first', async (t) => {
  const ino = inos.three
  const kernel = new KernelModel(operationsOf(filesystem, new Activity()))
  const handle = await kernel.opendir(ino)
  const from = async (at: number) => kernel.readdirplus(ino, handle, at, 4096)
  const all = await from(0)
  const names = all.map(({ name }) => name)
  t.same(names, ['.', '..', 'a', 'b', 'c'])
  for (const [index, { next }] of all.entries()) {
    t.same(
      (await from(next)).map(({ name }) => name),
      names.slice(index + 1),
    )
  }
})

t.test('positions are remembered until a bounded number of others have been sent', (t) => {
  const positions = new Positions(100)
  const first = positions.behind('first')
  for (let index = 0; index < 99; index += 1) positions.behind(numbered(index))
  t.equal(positions.nameBefore(first), 'first')
  for (let index = 0; index < 300; index += 1) positions.behind(numbered(index))
  t.equal(positions.nameBefore(first), undefined)
  t.equal(positions.nameBefore(positions.behind(numbered(7))), numbered(7))
  t.end()
})

t.test('names that look alike have positions that do not', (t) => {
  const seen = new Set<number>()
  const count = 200_000
  for (let index = 0; index < count; index += 1) seen.add(positionBehind(`file-${index}.txt`))
  t.equal(seen.size, count)
  for (const name of ['', 'a', '\u{10ffe9}', 'x'.repeat(255)]) {
    const position = positionBehind(name)
    t.ok(Number.isSafeInteger(position) && position > beginning, `${position}`)
  }
  t.end()
})
