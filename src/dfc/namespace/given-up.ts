/**
 * Changes that were answered and can never be stored, because others were let in meanwhile or the disks are full. Their
 * contents are kept elsewhere, the log says so, and so do the next close or fsync of the file and the next fsync of a
 * folder.
 */
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { notice } from '../../log.js'
import {
  decodeInode,
  type Inode,
  inodeKey,
  parseKey,
  type Transaction,
  trashIno,
} from '../../wire/records.js'
import type { LoggedChange } from './journal.js'

/** The content of a file that was answered as stored and cannot be stored. */
export interface GivenUpContent {
  readonly ino: number
  /** A name of the file, for messages. */
  readonly name: string
  readonly inode: Inode
  readonly why: DfsError
}

/** Keeps content elsewhere. Throws when that fails: it is tried again. */
export type KeepContent = (lost: GivenUpContent) => Promise<void>

export class GivenUp {
  readonly #keepContent: KeepContent
  /** Why changes were given up, by the inodes that they changed; and the first, for the file system as a whole. */
  readonly #failures = new Map<number, DfsError>()
  #first: DfsError | undefined

  constructor(keepContent: KeepContent) {
    this.#keepContent = keepContent
  }

  /** Keeps the content of the change elsewhere, and notes why it was given up. */
  async add({ body, file }: LoggedChange, why: DfsError): Promise<void> {
    const value = body.writes.find(
      ({ key }) => file !== undefined && key === inodeKey(file.ino),
    )?.value
    if (file !== undefined && value != null) {
      await this.#keepContent({ ...file, inode: decodeInode(value), why })
    }
    notice(`A change of ${describe(body)} was answered and then discarded: ${why.message}`, 'error')
    for (const { key } of body.writes) {
      const parsed = parseKey(key)
      if (parsed.kind === 'inode') this.#failures.set(parsed.ino, why)
    }
    for (const ino of this.#failures.keys()) {
      if (this.#failures.size <= limits.logChangesMax) break
      this.#failures.delete(ino)
    }
    this.#first ??= why
  }

  /** Throws, once, if a change of the inode was given up. */
  assertKept(ino: number): void {
    const failure = this.#failures.get(ino)
    this.#failures.delete(ino)
    if (failure !== undefined) throw failure
  }

  /** Throws, once, if any change was given up. */
  assertAllKept(): void {
    const error = this.#first
    this.#first = undefined
    if (error !== undefined) throw error
  }
}

/** The failure of a change that another client got in the way of. */
export function conflict(body: Transaction): DfsError {
  return new DfsError('stale', `another client changed ${describe(body)} first`)
}

/** Returns the names that a change writes, for a message. */
function describe({ writes }: Transaction): string {
  const parsed = writes.map(({ key }) => parseKey(key))
  const names = parsed.flatMap((one) =>
    one.kind === 'entry' && one.parent !== trashIno ? [JSON.stringify(one.name)] : [],
  )
  if (names.length > 0) return names.join(' and ')
  return parsed.map((one) => (one.kind === 'inode' ? `inode ${one.ino}` : '')).join(' and ')
}
