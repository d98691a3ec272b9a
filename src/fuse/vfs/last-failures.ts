/**
 * Remembers what failed in a mount lately, by inode, for people who ask why. Only failures of the system are noted, not those
 * that every file system answers, such as a name that does not exist. Bounded: the oldest go.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../clock.js'
import { asDfsError, errnoName, isOrdinary } from '../../errors.js'
import { limits } from '../../limits.js'
import type { AwayServer, NotedFailure } from '../../noted-failure.js'
import type { OperationName } from '../kernel/protocol.js'

/** Words for what the operations try. Those that change a folder have the folder's inode. */
const works: Partial<Readonly<Record<OperationName, string>>> = {
  lookup: 'looking up a name in',
  getattr: 'reading the attributes of',
  statx: 'reading the attributes of',
  getxattr: 'reading the attributes of',
  listxattr: 'reading the attributes of',
  setattr: 'changing the attributes of',
  setxattr: 'changing the attributes of',
  removexattr: 'changing the attributes of',
  symlink: 'changing names in',
  mknod: 'changing names in',
  mkdir: 'changing names in',
  link: 'changing names in',
  unlink: 'changing names in',
  rmdir: 'changing names in',
  rename: 'changing names in',
  rename2: 'changing names in',
  create: 'changing names in',
  tmpfile: 'changing names in',
  opendir: 'listing',
  readdir: 'listing',
  readdirplus: 'listing',
  fsyncdir: 'syncing',
  readlink: 'reading',
  open: 'opening',
  read: 'reading',
  write: 'writing',
  fallocate: 'writing',
  copyFileRange: 'writing',
  copyFileRange64: 'writing',
  flush: 'closing',
  release: 'closing',
  fsync: 'syncing',
}

const storing = 'storing'
/** Failures that are over once the file is stored. */
const endsWhenStored: readonly string[] = [
  storing,
  'opening',
  'writing',
  'closing',
  'syncing',
  'reading',
]

interface Told {
  /** A name of the inode, as far as it is known. */
  readonly nameOf: (ino: number) => string
  readonly away: () => readonly AwayServer[]
}

export class LastFailures {
  readonly #clock: Pick<Clock, 'now'>
  readonly #files = new LRUCache<number, ReadonlyMap<string, NotedFailure>>({
    max: limits.failingFilesMax,
  })
  /** The latest at the end. */
  #latest: readonly NotedFailure[] = []
  #told: Told = { nameOf: String, away: () => [] }

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** Names files and servers from now on. Comes once. */
  connect(told: Told): void {
    this.#told = told
  }

  /** Notes that an operation on the inode has failed. */
  failed(operation: OperationName, ino: number, thrown: unknown): void {
    const error = asDfsError(thrown)
    if (isOrdinary(error)) return
    this.#note(ino, works[operation] ?? `"${operation}" of`, error)
  }

  /** Notes that what was written to the inode could not be stored. `where` says what became of it. */
  notStored({ ino, name }: { ino: number; name: string }, thrown: unknown, where = ''): void {
    const error = asDfsError(thrown)
    this.#note(ino, storing, error, name, `${error.message}${where}`)
  }

  /** Forgets what failed before the inode's content was stored. */
  stored(ino: number): void {
    const noted = this.#files.get(ino)
    if (noted === undefined) return
    const left = [...noted].filter(([what]) => !endsWhenStored.includes(what))
    if (left.length === 0) this.#files.delete(ino)
    else this.#files.set(ino, new Map(left))
  }

  /** Returns the failures of an inode, the latest at the end. */
  of(ino: number): readonly NotedFailure[] {
    return [...(this.#files.get(ino)?.values() ?? [])].sort((a, b) => a.lastMs - b.lastMs)
  }

  /** The failures of the whole mount, the latest at the end. */
  get latest(): readonly NotedFailure[] {
    return this.#latest
  }

  #note(
    ino: number,
    what: string,
    { errno, message: own }: { readonly errno: number; readonly message: string },
    name = this.#told.nameOf(ino),
    message = own,
  ): void {
    const before = this.#files.get(ino)?.get(what)
    const lastMs = this.#clock.now()
    const isSame = before !== undefined && before.message === message
    const failure: NotedFailure = {
      firstMs: isSame ? before.firstMs : lastMs,
      lastMs,
      times: isSame ? before.times + 1 : 1,
      ino,
      name,
      what,
      errno: errnoName(errno),
      message,
      away: [...this.#told.away()],
    }
    this.#files.set(ino, new Map([...(this.#files.get(ino) ?? []), [what, failure]]))
    const others = this.#latest.filter((one) => !isSame || one !== before)
    this.#latest = [...others, failure].slice(-limits.failuresShownMax)
  }
}
