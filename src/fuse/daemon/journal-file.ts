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
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Journal, JournalEntry } from '../../dfc/namespace/journal.js'
import { changeRecord, entriesOf, forgottenRecord } from '../../dfc/namespace/journal.js'
import { limits } from '../../limits.js'
import { debugFuse } from '../../log.js'
import { isProcess, ownProcess } from './process-id.js'

/** The format of the records stands in the name: a release with another one leaves these files alone. */
const suffix = '.journal-1'

export class FileJournal implements Journal {
  readonly left: readonly JournalEntry[]
  readonly #path: string
  #file: number
  #bytes = 0
  /** Number of changes that are still needed, by the version under which they were answered. */
  readonly #needed = new Map<string, number>()

  /** Opens a new file in `folder`, which is made if it is not there, and takes over those of mounts that have died. */
  constructor(folder: string, self: string = ownProcess()) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    this.#path = join(folder, `${self}${suffix}`)
    const dead = readdirSync(folder)
      .filter((name) => name.endsWith(suffix))
      .filter((name) => name === `${self}${suffix}` || !isProcess(name.slice(0, -suffix.length)))
      .sort()
      .map((name) => join(folder, name))
    const found: JournalEntry[] = []
    for (const path of dead) found.push(...entriesIn(path))
    this.left = found
    this.#file = this.#writeAnew(found)
    for (const path of dead) if (path !== this.#path) unlinkSync(path)
  }

  append(entry: JournalEntry): void {
    this.#write(changeRecord(entry))
    this.#needed.set(entry.id, (this.#needed.get(entry.id) ?? 0) + 1)
  }

  forget(id: string): void {
    this.#needed.delete(id)
    try {
      if (this.#needed.size === 0) this.#clear()
      else if (this.#bytes > limits.journalBytesMax) this.#shorten()
      else this.#write(forgottenRecord(id))
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
  }

  /** Drops the records that are not needed any more. */
  #shorten(): void {
    const old = this.#file
    const needed = entriesIn(this.#path).filter(({ id }) => this.#needed.has(id))
    this.#needed.clear()
    this.#file = this.#writeAnew(needed)
    closeSync(old)
  }

  /** Replaces the file by one with these entries, and returns its descriptor. */
  #writeAnew(entries: readonly JournalEntry[]): number {
    const path = `${this.#path}.new`
    this.#file = openSync(path, 'w', 0o600)
    this.#bytes = 0
    for (const entry of entries) this.append(entry)
    renameSync(path, this.#path)
    return this.#file
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

function entriesIn(path: string): readonly JournalEntry[] {
  return entriesOf(readFileSync(path))
}
