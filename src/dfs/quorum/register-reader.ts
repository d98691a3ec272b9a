/** Answers to reads: registers, and the locks on them. */
import assert from 'node:assert/strict'
import { limits } from '../../limits.js'
import type { Listed, Reply, Request, Seen, SeenInode } from '../../wire/messages.js'
import {
  decodeEntry,
  encodeEntry,
  entryKey,
  fileType,
  folderDirentType,
  inodeKey,
  type Key,
  modeOfInode,
  parseKey,
  segmentsOfInode,
  typeOf,
} from '../../wire/records.js'
import type { AccountIndex } from '../index/account-index.js'
import type { StoredRegister } from '../index/recent-registers.js'
import type { AccountState } from './account-state.js'
import type { Locks } from './locks.js'

const noBytes = Buffer.alloc(0)

export class RegisterReader {
  readonly #index: AccountIndex
  readonly #accountState: AccountState
  readonly #locks: Locks

  constructor(index: AccountIndex, accountState: AccountState, locks: Locks) {
    this.#index = index
    this.#accountState = accountState
    this.#locks = locks
  }

  lookup({ parent, names }: Request<'lookup'>): Reply<'lookup'> {
    const steps: { entry: Seen; inode: SeenInode | null }[] = []
    let folder = parent
    for (const name of names) {
      const entry = this.#seen(entryKey(folder, name), this.#index.registers.entry(folder, name))
      if (entry.value === null) {
        steps.push({ entry, inode: null })
        break
      }
      const { ino, type } = decodeEntry(entry.value)
      steps.push({ entry, inode: this.#seenInode(ino) })
      if (type !== folderDirentType) break
      folder = ino
    }
    return { stamp: this.#accountState.stamp(), steps }
  }

  list({ folder, after, entriesMax, withHeldPieces }: Request<'list'>): Reply<'list'> {
    const wanted = Math.min(entriesMax, limits.listEntriesMax)
    const isAnyLost = this.#index.segments.isAnyLost
    const stored = this.#index.registers.entries(folder, after, wanted + 1, limits.listBytesMax)
    const entries: Listed[] = []
    let bytes = 0
    for (const row of stored.slice(0, wanted)) {
      const value = row.ino === null ? null : { ino: row.ino, type: row.type }
      const register = { version: row.version, value: value && encodeEntry(value) }
      const inode = value === null ? null : this.#summarised(value.ino, row.inode)
      const held = withHeldPieces ? this.#heldOf(row.inode.value) : noBytes
      entries.push({
        name: row.name,
        entry: this.#seen(entryKey(folder, row.name), register),
        inode,
        held,
        lost: isAnyLost && this.#isLost(row.inode.value),
      })
      bytes += Buffer.byteLength(row.name) + (row.inode.value?.length ?? 0) + held.length + 96
      if (bytes > limits.listBytesMax) break
    }
    // A page that is full of bytes may have been read no further than it goes.
    const more = entries.length < stored.length || bytes > limits.listBytesMax
    const listed = this.#withLockedNames(folder, after, entries, more)
    return {
      stamp: this.#accountState.stamp(),
      folder: this.#seenInode(folder),
      entries: listed,
      more,
    }
  }

  /** The registers of `keys` in their order, as many as fit into a reply and at least one. */
  read({ keys }: Request<'read'>): Reply<'read'> {
    const registers: SeenInode[] = []
    let bytes = 0
    for (const key of keys) {
      const seen = this.#seenOf(key)
      bytes += seen.register.value?.length ?? 0
      if (bytes > limits.listBytesMax && registers.length > 0) break
      registers.push(seen)
    }
    assert(registers.length > 0 || keys.length === 0, 'a reader that gets nothing asks for ever')
    return { stamp: this.#accountState.stamp(), registers }
  }

  #seenOf(key: Key): SeenInode {
    const parsed = parseKey(key)
    if (parsed.kind === 'inode') return this.#seenInode(parsed.ino)
    const register = this.#seen(key, this.#index.registers.entry(parsed.parent, parsed.name))
    return { register, folder: null }
  }

  #seen(key: Key, register: StoredRegister): Seen {
    const { version, value } = register
    return { version, value, lock: this.#locks.holder(key) ?? null }
  }

  #seenInode(ino: number): SeenInode {
    return this.#summarised(ino, this.#index.registers.inode(ino))
  }

  #summarised(ino: number, register: StoredRegister): SeenInode {
    const isFolder =
      register.value !== null && typeOf(modeOfInode(register.value)) === fileType.folder
    const folder = isFolder ? this.#index.folders.get(ino) : null
    return { register: this.#seen(inodeKey(ino), register), folder }
  }

  #heldOf(value: Buffer | null): Buffer {
    if (value === null) return noBytes
    return Buffer.from(segmentsOfInode(value).map(({ id }) => this.#index.pieces.held(id)))
  }

  #isLost(value: Buffer | null): boolean {
    if (value === null) return false
    const { segments } = this.#index
    return segmentsOfInode(value).some(({ id }) => segments.marksOf(id).lost !== 0)
  }

  /** Adds names that are locked but were never written, in their place. */
  #withLockedNames(folder: number, after: string, entries: Listed[], more: boolean): Listed[] {
    const last = entries.at(-1)?.name
    const present = new Set(entries.map(({ name }) => name))
    const missing = [...this.#locks.lockedNames(folder)].filter(
      (name) =>
        !present.has(name) &&
        compareNames(name, after) > 0 &&
        (!more || (last !== undefined && compareNames(name, last) < 0)),
    )
    if (missing.length === 0) return entries
    assert(entries.length <= limits.listEntriesMax)
    for (const name of missing.slice(0, limits.listEntriesMax - entries.length)) {
      const entry = this.#seen(entryKey(folder, name), this.#index.registers.entry(folder, name))
      entries.push({ name, entry, inode: null, held: noBytes, lost: false })
    }
    return entries.sort((a, b) => compareNames(a.name, b.name))
  }
}

/** UTF-8 byte order, which JavaScript's order of strings is not beyond the basic plane. */
function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
