/** Answers to reads: registers, and the locks on them. */
import assert from 'node:assert/strict'
import { compareTexts } from '../../byte-text.js'
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
  type Segment,
  segmentsOfInode,
  typeOf,
} from '../../wire/records.js'
import type { AccountIndex } from '../index/account-index.js'
import type { StoredRegister } from '../index/recent-registers.js'
import type { AccountState } from './account-state.js'
import type { Locks } from './locks.js'

const noBytes = Buffer.alloc(0)

type Page = Reply<'listFolders'>['lists'][number]

export class RegisterReader {
  readonly #index: AccountIndex
  readonly #accountState: AccountState
  readonly #locks: Locks

  constructor(index: AccountIndex, accountState: AccountState, locks: Locks) {
    this.#index = index
    this.#accountState = accountState
    this.#locks = locks
  }

  /** Walks `names` down from `parent`: as far as they go here, or as fit into a reply, and at least one. */
  lookup({ parent, names }: Request<'lookup'>): Reply<'lookup'> {
    const steps: { entry: Seen; inode: SeenInode | null }[] = []
    let folder = parent
    let bytes = 0
    for (const name of names) {
      if (bytes > limits.listBytesMax) break
      const entry = this.#seen(entryKey(folder, name), this.#index.registers.entry(folder, name))
      if (entry.value === null) {
        steps.push({ entry, inode: null })
        break
      }
      const { ino, type } = decodeEntry(entry.value)
      const inode = this.#seenInode(ino)
      bytes += inode.register.value?.length ?? 0
      steps.push({ entry, inode })
      if (type !== folderDirentType) break
      folder = ino
    }
    return { stamp: this.#accountState.stamp(), steps }
  }

  list({ folder, after, entriesMax, withHeldPieces }: Request<'list'>): Reply<'list'> {
    const wanted = Math.min(entriesMax, limits.listEntriesMax)
    const { page } = this.#page(folder, after, wanted, withHeldPieces)
    return { stamp: this.#accountState.stamp(), ...page }
  }

  /** The first of these folders, at least one, as many as fit into an answer together. */
  listFolders({ folders }: Request<'listFolders'>): Reply<'listFolders'> {
    const lists: Page[] = []
    let bytes = 0
    let entries = 0
    for (const folder of folders) {
      const { page, bytes: more } = this.#page(folder, '', limits.listEntriesMax, false)
      bytes += more
      entries += page.entries.length
      const isFull = entries > limits.listEntriesMax || bytes > limits.listBytesMax
      if (isFull && lists.length > 0) break
      lists.push(page)
    }
    return { stamp: this.#accountState.stamp(), lists }
  }

  /** A page of a folder behind `after`, and about how many bytes it has. */
  #page(
    folder: number,
    after: string,
    wanted: number,
    withHeldPieces: boolean,
  ): { readonly page: Page; readonly bytes: number } {
    const isAnyLost = this.#index.segments.isAnyLost
    const entries: Listed[] = []
    let bytes = 0
    let lookedUp = 0
    let more = false
    for (const row of this.#index.registers.entries(folder, after)) {
      more =
        entries.length >= wanted ||
        bytes > limits.listBytesMax ||
        lookedUp > limits.segmentsPerRequestMax
      if (more) break
      const value = row.ino === null ? null : { ino: row.ino, type: row.type }
      const register = { version: row.version, value: value && encodeEntry(value) }
      const inode = value === null ? null : this.#summarised(value.ino, row.inode)
      const segments = withHeldPieces || isAnyLost ? segmentsOf(row.inode.value) : []
      const held = withHeldPieces ? this.#heldOf(segments) : noBytes
      entries.push({
        name: row.name,
        entry: this.#seen(entryKey(folder, row.name), register),
        inode,
        held,
        lost: isAnyLost && this.#isLost(segments),
      })
      bytes += Buffer.byteLength(row.name) + (row.inode.value?.length ?? 0) + held.length + 96
      lookedUp += segments.length
    }
    const listed = this.#withLockedNames(folder, after, entries, more)
    return { page: { folder: this.#seenInode(folder), ...listed }, bytes }
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

  #heldOf(segments: readonly Segment[]): Buffer {
    return Buffer.from(segments.map(({ id }) => this.#index.pieces.held(id)))
  }

  #isLost(segments: readonly Segment[]): boolean {
    return segments.some(({ id }) => this.#index.segments.marksOf(id).lost !== 0)
  }

  /**
   * Adds names that are locked but were never written, in their place. What does not fit then is left for the next page.
   */
  #withLockedNames(
    folder: number,
    after: string,
    entries: Listed[],
    more: boolean,
  ): Pick<Page, 'entries' | 'more'> {
    const last = entries.at(-1)?.name
    const present = new Set(entries.map(({ name }) => name))
    const missing = [...this.#locks.lockedNames(folder)].filter(
      (name) =>
        !present.has(name) &&
        compareTexts(name, after) > 0 &&
        (!more || (last !== undefined && compareTexts(name, last) < 0)),
    )
    if (missing.length === 0) return { entries, more }
    assert(entries.length <= limits.listEntriesMax)
    for (const name of missing.sort(compareTexts).slice(0, limits.listEntriesMax)) {
      const entry = this.#seen(entryKey(folder, name), this.#index.registers.entry(folder, name))
      entries.push({ name, entry, inode: null, held: noBytes, lost: false })
    }
    entries.sort((a, b) => compareTexts(a.name, b.name))
    const isCut = present.size + missing.length > limits.listEntriesMax
    return { entries: entries.slice(0, limits.listEntriesMax), more: more || isCut }
  }
}

function segmentsOf(value: Buffer | null): readonly Segment[] {
  return value === null ? [] : segmentsOfInode(value)
}
