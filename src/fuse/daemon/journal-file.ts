/**
 * The journal of a mount in a local file: what was answered outlives the process, because each change is written into
 * the kernel's cache before its answer (no fsync: a power cut takes what a program has not fsynced, as on a local
 * disk). The folder of an account has one file for each of its mounts on this machine. A mount that begins takes over
 * the files of those that have died.
 */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Journal, JournalEntry } from '../../dfc/namespace/journal.js'
import { changeRecord, entriesOf, forgottenRecord } from '../../dfc/namespace/journal.js'
import { limits } from '../../limits.js'
import { debugFuse } from '../../log.js'
import { isProcess, ownProcess } from '../../process-id.js'
import { journalSuffix as suffix } from '../../state-home.js'
import type { Version } from '../../wire/version.js'

/** The end of the name of a journal that is being written anew. */
const newSuffix = '.new'

export class FileJournal implements Journal {
  readonly left: readonly JournalEntry[]
  readonly #path: string
  #file: number
  #bytes = 0
  /** Size at which it is written anew. */
  #boundBytes = limits.journalBytesMax
  /** The versions under which changes were answered that are still needed. */
  #needed = new Set<Version>()

  /** Opens a new file in `folder`, which is made if it is not there, and takes over those of mounts that have died. */
  constructor(folder: string, self: string = ownProcess()) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    this.#path = join(folder, `${self}${suffix}`)
    const dead = readdirSync(folder)
      .filter((name) => isOfDead(name, self))
      .sort()
      .map((name) => join(folder, name))
    this.left = entriesInAll(dead.filter((path) => path.endsWith(suffix)))
    this.#file = this.#writeAnew(this.left)
    for (const path of dead) if (path !== this.#path) rmSync(path, { force: true })
  }

  append(entry: JournalEntry): void {
    this.#write(changeRecord(entry))
    this.#needed.add(entry.id)
  }

  forget(id: Version): void {
    this.#needed.delete(id)
    try {
      if (this.#needed.size === 0) {
        this.#clear()
        return
      }
      this.#write(forgottenRecord(id))
      if (this.#bytes > this.#boundBytes) this.#shorten()
    } catch (error) {
      // The change is stored: that it is tried again after a crash does no harm.
      debugFuse('journal %s: %o', this.#path, error)
    }
  }

  close(): void {
    closeSync(this.#file)
    if (this.#needed.size === 0) unlinkSync(this.#path)
  }

  #clear(): void {
    if (this.#bytes > 0) ftruncateSync(this.#file, 0)
    this.#bytes = 0
    this.#boundBytes = limits.journalBytesMax
  }

  /** Drops the records that are not needed any more. When that did not help, it is tried again at twice the size. */
  #shorten(): void {
    const old = this.#file
    this.#boundBytes = 2 * this.#bytes
    this.#file = this.#writeAnew(entriesIn(this.#path))
    closeSync(old)
  }

  /** Replaces the file by one with these entries, and returns its descriptor. The old one stays when that fails. */
  #writeAnew(entries: readonly JournalEntry[]): number {
    const path = `${this.#path}${newSuffix}`
    const file = openSync(path, 'w', 0o600)
    let bytes = 0
    try {
      for (const record of entries.map(changeRecord)) {
        writeFileSync(file, record)
        bytes += record.length
      }
      renameSync(path, this.#path)
    } catch (error) {
      closeSync(file)
      rmSync(path, { force: true })
      throw error
    }
    this.#bytes = bytes
    this.#boundBytes = Math.max(limits.journalBytesMax, 2 * bytes)
    this.#needed = new Set(entries.map(({ id }) => id))
    return file
  }

  /** Throws when the local disk does not take all of it; nothing of it is in the file then. */
  #write(record: Buffer): void {
    try {
      for (let at = 0; at < record.length; ) {
        at += writeSync(this.#file, record, at, record.length - at, this.#bytes + at)
      }
    } catch (error) {
      ftruncateSync(this.#file, this.#bytes)
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

/** Returns the entries of all files. Two have the same if a mount was killed while it took over the first. */
function entriesInAll(paths: readonly string[]): readonly JournalEntry[] {
  const known = new Set<Version>()
  return paths.flatMap((path) => {
    const entries = entriesIn(path).filter(({ id }) => !known.has(id))
    for (const { id } of entries) known.add(id)
    return entries
  })
}

function entriesIn(path: string): readonly JournalEntry[] {
  return entriesOf(readFileSync(path))
}
