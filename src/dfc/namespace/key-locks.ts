/**
 * Locks for the operations of this client on the same registers, shared or exclusive per key, first come first
 * served, so that they do not conflict at the servers. Conflicts between clients are resolved by the quorum; these
 * locks only save retries.
 */
import assert from 'node:assert/strict'
import type { Key } from '../../wire/records.js'

interface Waiting {
  readonly exclusive: boolean
  readonly start: () => void
}

interface Turn {
  /** Holders: -1 one exclusive, n > 0 that many shared. */
  held: number
  readonly queue: Waiting[]
}

export class KeyLocks {
  readonly #turns = new Map<Key, Turn>()

  /** Runs `work` while holding the keys. Keys in both lists are exclusive. */
  async hold<T>(
    exclusive: readonly Key[],
    shared: readonly Key[],
    work: () => Promise<T>,
  ): Promise<T> {
    const wanted = new Map<Key, boolean>()
    for (const key of shared) wanted.set(key, false)
    for (const key of exclusive) wanted.set(key, true)
    // All operations lock in the same order, so that two never wait for each other.
    const ordered = [...wanted].sort(([a], [b]) => (a < b ? -1 : 1))
    for (const [key, isExclusive] of ordered) await this.#take(key, isExclusive)
    try {
      return await work()
    } finally {
      for (const [key] of ordered) this.#release(key)
    }
  }

  #take(key: Key, exclusive: boolean): Promise<void> | undefined {
    const turn = this.#turns.get(key)
    if (turn === undefined) {
      this.#turns.set(key, { held: exclusive ? -1 : 1, queue: [] })
      return undefined
    }
    if (!exclusive && turn.held > 0 && turn.queue.length === 0) {
      turn.held += 1
      return undefined
    }
    return new Promise((start) => turn.queue.push({ exclusive, start }))
  }

  #release(key: Key): void {
    const turn = this.#turns.get(key)
    assert(turn !== undefined && turn.held !== 0, 'a key is given back that nobody holds')
    turn.held = turn.held === -1 ? 0 : turn.held - 1
    if (turn.held > 0) return
    for (let next = turn.queue[0]; next !== undefined; next = turn.queue[0]) {
      if (next.exclusive && turn.held > 0) return
      turn.queue.shift()
      assert(turn.held >= 0 && !(next.exclusive && turn.held > 0), 'two hold a key alone')
      turn.held = next.exclusive ? -1 : turn.held + 1
      next.start()
      if (next.exclusive) return
    }
    if (turn.held === 0) this.#turns.delete(key)
  }
}
