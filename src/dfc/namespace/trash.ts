/**
 * The trash of an account: what was removed, and what was replaced, with its content as it was. It is listed, restored,
 * and removed for good, by age, by number or all of it.
 */
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { entryKey, inodeKey, trashIno } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import type { ListedName, Node } from './cache/node.js'
import type { Changes } from './changes.js'
import { type KeptRecord, recordOf, timeOfKept } from './kept.js'
import { assertName } from './lookup.js'
import { planExpunging } from './plans/expunging.js'
import { planRestoration, type Restoration } from './plans/restoration.js'
import type { Sources } from './plans/sources.js'

/** Something that the trash keeps. */
export interface KeptFile extends KeptRecord {
  /** Its name in the trash, which nothing else has. */
  readonly id: string
  /** Since when it is kept, in ms since 1970. */
  readonly sinceMs: number
  /** Its inode, with the attributes and the content of then. */
  readonly node: Node
  /** Whether some piece of its content cannot be reached, or is lost for good. */
  readonly incomplete: boolean
}

/** How much the trash keeps. */
export interface TrashUse {
  readonly removed: number
  readonly replaced: number
  /** Bytes of contents that their files do not have any more. Some may have been copied into others, and stay. */
  readonly bytes: number
  /** Since when the oldest is kept, in ms since 1970. */
  readonly oldestMs: number | undefined
  /** How many more there are, which were not looked at. */
  readonly more: number
}

export class Trash {
  readonly #cluster: Cluster
  readonly #sources: Sources
  readonly #changes: Changes

  constructor(cluster: Cluster, sources: Sources, changes: Changes) {
    this.#cluster = cluster
    this.#sources = sources
    this.#changes = changes
  }

  /** For how long the account keeps what is removed or replaced, in ms; 0 for not at all. */
  get keptMs(): number {
    return this.#cluster.trashMs
  }

  /** Yields all that is kept, the oldest first. */
  async *files(): AsyncGenerator<KeptFile, void, void> {
    for await (const page of this.#pages()) yield* page.flatMap((listed) => keptFile(listed) ?? [])
  }

  async *#pages(): AsyncGenerator<readonly ListedName[], void, void> {
    try {
      for await (const { entries } of this.#sources.names.pages(trashIno)) yield entries
    } catch (error) {
      // Nothing was ever kept.
      if (!isError(error, 'notFound')) throw error
    }
  }

  /** Gives something that is kept a name. Throws `exists`, `isDirectory`, `notFound`. */
  restore(restoration: Restoration): Promise<Node> {
    const { parent, name, kept } = restoration
    assertName(name)
    const keys = [entryKey(parent, name), entryKey(trashIno, kept)]
    return this.#changes.make(keys, [inodeKey(parent)], (fresh) =>
      planRestoration(this.#sources, restoration, fresh),
    )
  }

  /** Removes for good what is kept under these names. Returns how many were still there. */
  async remove(ids: readonly string[]): Promise<number> {
    let count = 0
    for (let at = 0; at < ids.length; at += limits.trashEntriesAtOnce) {
      const some = ids.slice(at, at + limits.trashEntriesAtOnce)
      const keys = some.map((id) => entryKey(trashIno, id))
      count += await this.#changes.make(keys, [], (fresh) =>
        planExpunging(this.#sources, some, fresh),
      )
    }
    return count
  }

  /**
   * Removes what was kept for its time, and the oldest of what is more than an account may keep. Removes
   * `trashEntriesPerRepair` at most, and returns how many. Where nothing is kept any more, what is there stays.
   */
  async expire(): Promise<number> {
    const { keptMs } = this
    if (keptMs === 0) return 0
    const beforeMs = this.#cluster.clock.now() - keptMs
    let surplus = (await this.#count()) - limits.trashEntriesMax
    let removed = 0
    for await (const page of this.#pages()) {
      const due = page.filter(({ name }) => {
        surplus -= 1
        const sinceMs = timeOfKept(name)
        return sinceMs !== undefined && (surplus >= 0 || sinceMs < beforeMs)
      })
      removed += await this.remove(due.map(({ name }) => name))
      if (due.length < page.length || removed >= limits.trashEntriesPerRepair) break
    }
    return removed
  }

  /**
   * Removes the oldest until about `bytes` of content are freed, or a repair's worth is gone. Returns how many were
   * removed.
   */
  async removeOldest(bytes: number): Promise<number> {
    const due: string[] = []
    let freed = 0
    for await (const { id, node } of this.files()) {
      if (freed >= bytes || due.length >= limits.trashEntriesPerRepair) break
      due.push(id)
      freed += node.inode.segments.reduce((sum, { length }) => sum + length, 0)
    }
    return this.remove(due)
  }

  async #count(): Promise<number> {
    try {
      return (await this.#sources.names.node(trashIno)).folder?.live ?? 0
    } catch (error) {
      if (isError(error, 'stale')) return 0
      throw error
    }
  }

  /** Looks through what is kept, the oldest first, at `lookedMax` of it at most. */
  async use(lookedMax: number = limits.trashEntriesLookedMax): Promise<TrashUse> {
    const counts = { removed: 0, replaced: 0 }
    let more = 0
    const lengths = new Map<string, number>()
    const files = new Set<number>()
    let oldestMs: number | undefined
    for await (const { kind, ino, sinceMs, node } of this.files()) {
      if (counts.removed + counts.replaced === lookedMax) {
        more = Math.max(1, (await this.#count()) - lookedMax)
        break
      }
      counts[kind] += 1
      oldestMs ??= sinceMs
      if (kind === 'replaced') files.add(ino)
      for (const { id, length } of node.inode.segments) lengths.set(id, length)
    }
    for (const ino of files) {
      for (const { id } of await this.#segmentsOf(ino)) lengths.delete(id)
    }
    const bytes = [...lengths.values()].reduce((sum, length) => sum + length, 0)
    return { ...counts, bytes, oldestMs, more }
  }

  /** The segments of a file, none of one that is gone. */
  async #segmentsOf(ino: number): Promise<Node['inode']['segments']> {
    try {
      return (await this.#sources.names.node(ino)).inode.segments
    } catch (error) {
      if (isError(error, 'stale')) return []
      throw error
    }
  }
}

/** Undefined for what no client of ours has put there. */
function keptFile({ name, node, incomplete }: ListedName): KeptFile | undefined {
  const sinceMs = timeOfKept(name)
  if (node === undefined || sinceMs === undefined) return undefined
  try {
    const record = recordOf(node.inode)
    return record === undefined ? undefined : { ...record, id: name, sinceMs, node, incomplete }
  } catch (error) {
    if (error instanceof DfsError) return undefined
    throw error
  }
}
