/**
 * Files that this client has created and not stored yet, because their first content is likely to follow in a moment
 * and can be stored together with them: one round trip for a small file instead of two. Only while this client is
 * alone, so that no other client can miss them.
 */
import assert from 'node:assert/strict'
import type { Clock, Timer } from '../../clock.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { entryKey, type Key } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { Node } from './cache/node.js'

export interface PendingCreate {
  readonly parent: number
  readonly name: string
  /** The node, with a version that no register will ever have. */
  node: Node
  /**
   * The version that the folder already shows for the create, newer than the node's: stored under it, the create
   * changes no time that a program has seen. Undefined once that was tried.
   */
  id: Version | undefined
  /** Whether it is being stored: a change must wait until it is. */
  isOnItsWay: boolean
  readonly sinceMs: number
}

/** Thrown by the plan of a change that concerns files which are not stored: once they are, plan again. */
export class NotStored extends Error {
  readonly inos: readonly number[]

  constructor(inos: readonly number[]) {
    super(`Not stored yet: ${inos.join(', ')}`)
    this.name = 'NotStored'
    this.inos = inos
  }
}

export class PendingCreates {
  readonly #clock: Clock
  #storeOne: ((ino: number) => Promise<void>) | undefined
  readonly #files = new Map<number, PendingCreate>()
  readonly #byPlace = new Map<Key, PendingCreate>()
  readonly #byFolder = new Map<number, Set<number>>()
  #timer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Sets the function that stores a pending create and deletes it here. Must be called once, before the first is
   * added.
   */
  connect(store: (ino: number) => Promise<void>): void {
    assert(this.#storeOne === undefined, 'files are stored in one way')
    this.#storeOne = store
  }

  get isEmpty(): boolean {
    return this.#files.size === 0
  }

  get(ino: number): PendingCreate | undefined {
    return this.#files.get(ino)
  }

  at(parent: number, name: string): PendingCreate | undefined {
    return this.#byPlace.size === 0 ? undefined : this.#byPlace.get(entryKey(parent, name))
  }

  /** Returns the inode numbers of pending creates in `folder`; undefined when there are none. */
  in(folder: number): ReadonlySet<number> | undefined {
    return this.#byFolder.get(folder)
  }

  /** Adds a pending create, to be stored after `createDelayMs` at the latest. */
  add(made: Pick<PendingCreate, 'parent' | 'name' | 'node' | 'id'>): void {
    const { parent, name, node } = made
    assert(this.#storeOne !== undefined, 'nothing says how files are stored')
    assert(!this.#files.has(node.ino) && this.at(parent, name) === undefined, 'made twice')
    const file = { ...made, isOnItsWay: false, sinceMs: this.#clock.monotonic() }
    this.#files.set(node.ino, file)
    this.#byPlace.set(entryKey(parent, name), file)
    const inFolder = this.#byFolder.get(parent) ?? new Set()
    this.#byFolder.set(parent, inFolder.add(node.ino))
    this.#timer ??= this.#clock.after(limits.createDelayMs, () => void this.#storeDue())
  }

  delete(ino: number): void {
    const file = this.#files.get(ino)
    if (file === undefined) return
    this.#files.delete(ino)
    this.#byPlace.delete(entryKey(file.parent, file.name))
    const inFolder = this.#byFolder.get(file.parent)
    assert(inFolder?.delete(ino) === true, 'its folder does not know of it')
    if (inFolder.size === 0) this.#byFolder.delete(file.parent)
  }

  /**
   * Resolves when the file is stored, or was given up because another client has its name. Throws the failure that
   * prevents it.
   */
  async store(ino: number): Promise<void> {
    if (!this.#files.has(ino)) return
    try {
      await this.#store(ino)
    } catch (error) {
      if (this.#files.has(ino)) throw error
    }
  }

  /** Resolves when all of them, or those in `folder`, are stored. */
  async settle(folder?: number): Promise<void> {
    const inos = folder === undefined ? this.#files.keys() : (this.in(folder) ?? [])
    const outcomes = await Promise.allSettled([...inos].map((ino) => this.#store(ino)))
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  #store(ino: number): Promise<void> {
    assert(this.#storeOne !== undefined, 'nothing says how files are stored')
    return this.#storeOne(ino)
  }

  /**
   * Stores the files that are due. Failures are logged and tried again; callers of `store` get the failure of their
   * file.
   */
  async #storeDue(): Promise<void> {
    const dueMs = this.#clock.monotonic() - limits.createDelayMs
    const due = [...this.#files.values()].filter(({ sinceMs }) => sinceMs <= dueMs)
    await Promise.all(
      due.map(({ node }) =>
        this.#store(node.ino).catch((error: unknown) =>
          debugDfc('create of %d: %o', node.ino, error),
        ),
      ),
    )
    this.#timer = undefined
    if (this.#files.size === 0) return
    this.#timer = this.#clock.after(limits.createDelayMs, () => void this.#storeDue())
  }
}
