/**
 * The disk of a simulated server, which can fail for a while: what it has is not read or written then,
 * and is there again afterwards. It stands between a server and its storage.
 */

import type { AccountStorage, Storage } from '../../src/dfs/account/storage.js'
import type { AccountIndex } from '../../src/dfs/index/account-index.js'
import type { PieceStore } from '../../src/dfs/pieces/piece-store.js'
import type { VoteLog } from '../../src/dfs/quorum/vote-log.js'

/**
 * What does not work: anything; to log a vote or store a piece; pieces only; or to open an account, where those
 * that are open go on.
 */
export const diskTroubles = ['dead', 'full', 'pieces', 'closed'] as const
export type DiskTrouble = (typeof diskTroubles)[number]

/** Members that say what is known without the disk, or that give it up. */
const harmless = {
  // A group begins without the disk; what it does meets it.
  index: new Set<PropertyKey>(['close', 'rollBack', 'group', 'assertInGroup']),
  votes: new Set<PropertyKey>(['close', 'dropsSynced', 'hasRotted']),
}
const changesOfVotes = new Set<PropertyKey>(['append', 'sync', 'clear'])
const changesOfPieces = new Set<PropertyKey>(['put', 'writer', 'remove', 'sync'])

export class SimulatedDisk {
  readonly #troubles = new Map<object, DiskTrouble>()

  /** Returns what ends it. Several may be there at once. */
  begin(trouble: DiskTrouble): () => void {
    const mark = {}
    this.#troubles.set(mark, trouble)
    return () => void this.#troubles.delete(mark)
  }

  mend(): void {
    this.#troubles.clear()
  }

  /** `storage` as the server sees it. */
  over(storage: Storage): Storage {
    return {
      identity: storage.identity,
      openAccount: (user) => {
        this.#meet('dead', 'closed')
        return this.#account(storage.openAccount(user))
      },
      examine: async (user) => {
        this.#meet('dead', 'closed')
        await storage.examine(user)
      },
      setAside: (user) => {
        this.#meet('dead', 'full')
        storage.setAside(user)
      },
      findAside: async (user) => {
        this.#meet('dead', 'closed')
        return storage.findAside(user)
      },
      distrust: (user) => {
        this.#meet('dead', 'full')
        storage.distrust(user)
      },
      close: () => storage.close(),
    }
  }

  #account(account: AccountStorage): AccountStorage {
    return {
      ...account,
      index: this.#guarded<AccountIndex>(account.index, (member) => {
        if (harmless.index.has(member)) return
        this.#meet('dead')
      }),
      votes: this.#guarded<VoteLog>(account.votes, (member) => {
        if (harmless.votes.has(member)) return
        this.#meet('dead')
        if (changesOfVotes.has(member)) this.#meet('full')
      }),
      pieces: this.#guarded<PieceStore>(account.pieces, (member) => {
        this.#meet('dead', 'pieces')
        if (changesOfPieces.has(member)) this.#meet('full')
      }),
    }
  }

  /** Each use of a member of `what` passes `look` before. */
  #guarded<T extends object>(what: T, look: (member: PropertyKey) => void): T {
    return new Proxy(what, {
      get: (target, member) => {
        const value: unknown = Reflect.get(target, member, target)
        if (typeof value !== 'function') {
          look(member)
          return value
        }
        return (...given: readonly unknown[]): unknown => {
          look(member)
          return Reflect.apply(value, target, given)
        }
      },
    })
  }

  /** Throws what Node or SQLite would. */
  #meet(...fatal: readonly DiskTrouble[]): void {
    for (const trouble of this.#troubles.values()) {
      if (!fatal.includes(trouble)) continue
      const code = trouble === 'full' ? 'ENOSPC' : 'EIO'
      throw Object.assign(new Error(`${code}: the disk of a simulated server`), { code })
    }
  }
}
