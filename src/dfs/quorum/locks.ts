/**
 * The locks that follow from the undecided transactions of an account: exclusive on the keys that a
 * transaction writes, shared on the keys that are only preconditions.
 */
import assert from 'node:assert/strict'
import type { Key, Transaction } from '../../wire/records.js'
import { parseKey } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'

export class Locks {
  readonly #exclusive = new Map<Key, Version>()
  readonly #shared = new Map<Key, Set<Version>>()
  /** Names with an exclusive lock, per folder: a listing shows them before they exist. */
  readonly #names = new Map<number, Set<string>>()

  /** The undecided transaction that holds `key` exclusively. */
  holder(key: Key): Version | undefined {
    return this.#exclusive.get(key)
  }

  /** The names in a folder whose entries are locked. */
  lockedNames(folder: number): ReadonlySet<string> {
    return this.#names.get(folder) ?? noNames
  }

  /** Another transaction whose locks `body` would collide with, if there is one. */
  blocker(id: Version, body: Transaction): Version | undefined {
    const written = new Set(body.writes.map(({ key }) => key))
    for (const { key } of body.preconditions) {
      const holder = this.#exclusive.get(key)
      if (holder !== undefined && holder !== id) return holder
      if (!written.has(key)) continue
      for (const sharer of this.#shared.get(key) ?? []) if (sharer !== id) return sharer
    }
    return undefined
  }

  /** Takes the locks of `body`; the caller has seen that nothing blocks them. */
  take(id: Version, body: Transaction): void {
    const written = new Set<Key>()
    for (const { key } of body.writes) {
      written.add(key)
      this.#exclusive.set(key, id)
      const parsed = parseKey(key)
      if (parsed.kind === 'entry') addTo(this.#names, parsed.parent, parsed.name)
    }
    for (const { key } of body.preconditions) {
      if (!written.has(key)) addTo(this.#shared, key, id)
    }
  }

  /** Drops the locks that `take` took, where they are still this transaction's. */
  release(id: Version, body: Transaction): void {
    for (const { key } of body.writes) {
      if (this.#exclusive.get(key) !== id) continue
      this.#exclusive.delete(key)
      const parsed = parseKey(key)
      if (parsed.kind !== 'entry') continue
      assert(removeFrom(this.#names, parsed.parent, parsed.name), 'a locked name is listed')
    }
    for (const { key } of body.preconditions) removeFrom(this.#shared, key, id)
    assert(this.#exclusive.size > 0 || this.#names.size === 0, 'a name outlives its lock')
  }

  clear(): void {
    this.#exclusive.clear()
    this.#shared.clear()
    this.#names.clear()
  }
}

const noNames: ReadonlySet<string> = new Set()

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const known = map.get(key)
  if (known === undefined) map.set(key, new Set([value]))
  else known.add(value)
}

/** Removes a value, and returns whether it was there. */
function removeFrom<K, V>(map: Map<K, Set<V>>, key: K, value: V): boolean {
  const known = map.get(key)
  if (!known?.delete(value)) return false
  if (known.size === 0) map.delete(key)
  return true
}
