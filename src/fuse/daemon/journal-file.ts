/**
 * The journal of a mount in a local file: what was answered outlives the process, because each change is written into
 * the kernel's cache before its answer (no fsync: a power cut takes what a program has not fsynced, as on a local
 * disk). The folder of an account has one file for each of its mounts on this machine. A mount that begins takes over
 * the files of those that have died.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import {
  changeRecord,
  contentsOf,
  entriesOf,
  forgottenRecord,
  type Journal,
  type JournalEntry,
  partialRecord,
} from '../../dfc/namespace/journal.js'
import { syncFolder } from '../../durable.js'
import { asDfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugFuse, notice } from '../../log.js'
import { makePrivateFolder } from '../../private-file.js'
import { areTogether, isProcess, ownProcess } from '../../process-id.js'
import { damagedSuffix, journalSuffix as suffix } from '../../state-home.js'
import type { Version } from '../../wire/version.js'

const privately = { mode: 0o600 }
/** The end of the name of a journal that is being written anew. */
const newSuffix = '.new'

interface DeadJournal {
  readonly path: string
  readonly entries: readonly JournalEntry[]
  readonly damagedBytes: number
}

export class FileJournal implements Journal {
  readonly left: readonly JournalEntry[]
  readonly #path: string
  /** Files of mounts that have died, until their changes are in a file of this one. */
  #dead: readonly DeadJournal[]
  /** Undefined while the local disk takes no file of this mount. */
  #file: number | undefined
  #bytes = 0
  /** Size at which it is written anew. */
  #boundBytes = limits.journalBytesMax
  /** The versions under which changes were answered that are still needed. */
  readonly #needed: Set<Version>

  /**
   * Opens a new file in `folder`, which is made if it is not there, and takes over those of mounts that have died. Where
   * the disk takes no new file, what they have is left where it is until it is stored. Throws when there is nothing either.
   */
  constructor(folder: string, self: string = ownProcess()) {
    makePrivateFolder(folder)
    this.#path = join(folder, `${self}${suffix}`)
    this.#dead = readdirSync(folder)
      .filter((name) => isOfDead(name, self))
      .sort()
      .flatMap((name) => deadJournal(folder, name, self) ?? [])
    this.left = entriesInAll(this.#dead)
    this.#needed = new Set(this.left.map(({ id }) => id))
    try {
      this.#takeOver()
    } catch (thrown) {
      if (this.left.length === 0) throw thrown
      notice(
        `The local disk takes no journal: ${asDfsError(thrown).message}. What a mount of before had answered is ` +
          'stored all the same, and every change waits for the servers',
        'warning',
      )
    }
  }

  append(entry: JournalEntry): void {
    this.#write(this.#present(), changeRecord(entry))
    this.#needed.add(entry.id)
  }

  forget(id: Version): void {
    this.#needed.delete(id)
    try {
      if (this.#needed.size === 0) {
        this.#clear()
        return
      }
      if (this.#file === undefined) return
      this.#write(this.#file, forgottenRecord(id))
      if (this.#bytes > this.#boundBytes) this.#shorten()
    } catch (error) {
      // The change is stored: that it is tried again after a crash does no harm.
      debugFuse('journal %s: %o', this.#path, error)
    }
  }

  close(): void {
    if (this.#file === undefined) return
    closeSync(this.#file)
    if (this.#needed.size === 0) rmSync(this.#path, { force: true })
  }

  #clear(): void {
    if (this.#file === undefined) this.#takeOver()
    else if (this.#bytes > 0) ftruncateSync(this.#file, 0)
    this.#bytes = 0
    this.#boundBytes = limits.journalBytesMax
  }

  /** Drops the records that are not needed any more. When that did not help, it is tried again at twice the size. */
  #shorten(): void {
    this.#boundBytes = 2 * this.#bytes
    this.#writeAnew()
  }

  /**
   * Returns the file of this mount, written anew if it is not there: the disk had no room for it, or somebody has removed
   * it. That may be a mount that cannot tell that this one lives.
   */
  #present(): number {
    const file = this.#file
    return file === undefined || fstatSync(file).nlink === 0 ? this.#takeOver() : file
  }

  /** Writes what is needed into a new file of this mount, and removes those of the dead. */
  #takeOver(): number {
    makePrivateFolder(dirname(this.#path))
    for (const { path, damagedBytes } of this.#dead) {
      if (damagedBytes > 0) writeFileSync(`${path}${damagedSuffix}`, readFileSync(path), privately)
    }
    const file = this.#writeAnew()
    for (const { path } of this.#dead) if (path !== this.#path) rmSync(path, { force: true })
    this.#dead = []
    return file
  }

  /** Replaces the file by one with what is needed, and returns its descriptor. The old one stays when that fails. */
  #writeAnew(): number {
    const old = this.#file
    const entries = old === undefined ? this.left : entriesOf(bytesOf(old, this.#bytes))
    const needed = entries.filter(({ id }) => this.#needed.has(id))
    const partial = new Set(needed.flatMap(({ id, isPartial }) => (isPartial ? [id] : [])))
    const path = `${this.#path}${newSuffix}`
    const file = openSync(path, 'w+', 0o600)
    let bytes = 0
    try {
      for (const record of [...[...partial].map(partialRecord), ...needed.map(changeRecord)]) {
        writeFileSync(file, record)
        bytes += record.length
      }
      // What is taken over may have been on the disk for days.
      if (needed.length > 0 && this.#dead.length > 0) fsyncSync(file)
      renameSync(path, this.#path)
      if (needed.length > 0 && this.#dead.length > 0) syncFolder(dirname(this.#path))
    } catch (error) {
      closeSync(file)
      rmSync(path, { force: true })
      throw error
    }
    if (old !== undefined) closeSync(old)
    this.#file = file
    this.#bytes = bytes
    this.#boundBytes = Math.max(limits.journalBytesMax, 2 * bytes)
    return file
  }

  /** Throws when the local disk does not take all of it; nothing of it is in the file then. */
  #write(file: number, record: Buffer): void {
    try {
      for (let at = 0; at < record.length; ) {
        at += writeSync(file, record, at, record.length - at, this.#bytes + at)
      }
    } catch (error) {
      ftruncateSync(file, this.#bytes)
      throw error
    }
    this.#bytes += record.length
  }
}

/** Whether a file of the folder is of a process that has ended, or of one before that had the name `self`. */
function isOfDead(name: string, self: string): boolean {
  const [owner = '', rest = ''] = name.split(suffix)
  return (
    name.includes(suffix) && ['', newSuffix].includes(rest) && (owner === self || !isProcess(owner))
  )
}

/**
 * Reads the journal of a mount that has ended; undefined when that is not possible, and then it stays. Where the machine was
 * restarted since, the end may be lost. And a mount on another machine or in another container may not have ended at all.
 */
function deadJournal(folder: string, name: string, self: string): DeadJournal | undefined {
  const path = join(folder, name)
  if (!name.endsWith(suffix)) return { path, entries: [], damagedBytes: 0 }
  try {
    const { entries, damagedBytes } = contentsOf(readFileSync(path))
    if (damagedBytes > 0) {
      notice(
        `${damagedBytes} bytes of ${path} are damaged: changes that a mount had answered are lost with them. What can ` +
          `be read is stored, and the damaged file is kept as ${path}${damagedSuffix}`,
        'error',
      )
    }
    if (areTogether(name.slice(0, -suffix.length), self)) return { path, entries, damagedBytes }
    return { path, entries: entries.map((one) => ({ ...one, isPartial: true })), damagedBytes }
  } catch (thrown) {
    // Another mount takes it over at this very moment.
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    notice(
      `The journal ${path} cannot be read, so what a mount had answered and not stored is missing for now: ` +
        `${asDfsError(thrown).message}. The next mount tries again`,
      'error',
    )
    return undefined
  }
}

/**
 * Returns the entries of all files. Two have the same if a mount was killed while it took over the first. One has more of
 * them if its mount went on after another one, which could not tell that it lives, had read it.
 */
function entriesInAll(journals: readonly DeadJournal[]): readonly JournalEntry[] {
  const longest = new Map<Version, readonly JournalEntry[]>()
  for (const { entries } of journals) {
    for (const [id, some] of Map.groupBy(entries, (entry) => entry.id)) {
      if (some.length > (longest.get(id)?.length ?? 0)) longest.set(id, some)
    }
  }
  return [...longest.values()].flat()
}

/** Reads the first bytes of an open file, which may have no name any more. */
function bytesOf(file: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let at = 0
  while (at < length) {
    const count = readSync(file, bytes, at, length - at, at)
    if (count === 0) break
    at += count
  }
  return bytes.subarray(0, at)
}
