/**
 * Changes of attributes and content of a file, not of its names. A pending create is stored together with the change,
 * under its name.
 */
import assert from 'node:assert/strict'
import { compareTimes, type Time } from '../../clock.js'
import { DfsError, isError } from '../../errors.js'
import { direntType, entryKey, type Inode, inodeKey, typeOf } from '../../wire/records.js'
import { isAhead } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Content } from '../content/content.js'
import { assertContent } from '../content/extents.js'
import type { PreparedSegment } from '../content/prepared-segment.js'
import type { Node } from './cache/node.js'
import type { Changes, Plan } from './changes.js'
import type { PendingCreate, PendingCreates } from './pending-creates.js'
import { planCreation } from './plans/creation.js'
import { type NewAttributes, newIno, newInode } from './plans/new-inode.js'
import { planRewrite } from './plans/rewrite.js'
import type { Sources } from './plans/sources.js'
import type { PlanOptions } from './plans/transaction-builder.js'
import { assertHeld } from './stored-segments.js'

/** Returns the new inode, made from the latest one. Called again when that was not the latest. */
export type InodeChange = (inode: Inode, now: Time) => Inode

export interface ContentTimes {
  readonly mtime: Time
  readonly ctime: Time
}

/** Options of a rewrite. */
interface Rewriting {
  readonly inline?: PreparedSegment | undefined
  readonly onDisk?: boolean
  /** Checks the node before it is rewritten; throws to refuse. */
  readonly check?: (node: Node) => Promise<void>
  /** Changes nothing when the file is stored already. */
  readonly onlyPending?: boolean
  /** Whether the change may be answered before it is stored. */
  readonly behind?: boolean
}

export type HowWritten = Pick<Rewriting, 'inline' | 'onDisk'>

export class InodeChanges {
  readonly #cluster: Cluster
  readonly #sources: Sources
  readonly #pending: PendingCreates
  readonly #changes: Changes

  constructor(cluster: Cluster, sources: Sources, pending: PendingCreates, changes: Changes) {
    this.#cluster = cluster
    this.#sources = sources
    this.#pending = pending
    this.#changes = changes
  }

  /**
   * Makes a pending create: a file that only this client has until it is stored. Undefined where another client may
   * have a file of this name. Throws `exists`.
   */
  makePending(parent: number, name: string, attributes: NewAttributes): Promise<Node | undefined> {
    const { clock, random, versions } = this.#cluster
    const { names, cache } = this.#sources
    const keys = [[entryKey(parent, name)], [inodeKey(parent)]] as const
    return this.#changes.inTurn(...keys, async () => {
      const folder = await names.folderForChange(parent, false)
      const place = names.certain(parent, name)
      if (place !== undefined && place !== null) throw new DfsError('exists')
      // While this client is alone, no other client can create the name, and earlier ones are known.
      if (place === undefined || cache.leasedNode(folder.ino) === undefined) return undefined
      if (isAhead(folder.version, clock.now())) return undefined
      const inode = newInode(attributes, parent, clock.time())
      const version = versions.next()
      const id = versions.next()
      const node = { ino: newIno(clock, random), version, inode, folder: null }
      this.#pending.add({ parent, name, node, id })
      cache.touch(parent, id, undefined, { ino: node.ino, type: direntType(attributes.mode) })
      return node
    })
  }

  /** Stores a pending create, unless another call has done so meanwhile. */
  async store(ino: number): Promise<void> {
    await this.rewrite(ino, (inode) => inode, { onlyPending: true })
  }

  /** Changes attributes; `change` is called with the latest inode, perhaps more than once. */
  async update(ino: number, change: InodeChange): Promise<Node> {
    const pending = this.#pending.get(ino)
    if (pending === undefined || pending.isOnItsWay)
      return this.rewrite(ino, change, { behind: true })
    const inode = changed(pending.node, change, this.#cluster.clock.time())
    pending.node = { ...pending.node, inode }
    return pending.node
  }

  /** See `Namespace.writeContent`. */
  writeContent(
    ino: number,
    base: Node,
    content: Content,
    times: ContentTimes,
    { inline, onDisk = false }: HowWritten = {},
  ): Promise<Node> {
    assertContent(content)
    return this.rewrite(
      ino,
      (inode) => ({
        ...inode,
        size: content.size,
        segments: content.segments,
        extents: content.extents,
        mtime: timeAfter(inode.mtime, base.inode.mtime, times.mtime),
        ctime: timeAfter(inode.ctime, base.inode.ctime, times.ctime),
      }),
      { inline, onDisk, check: (node) => assertHeld(this.#cluster, node, content, inline) },
    )
  }

  /** Writes the inode that `change` makes. Throws `stale` when the file is gone. */
  rewrite(
    ino: number,
    change: InodeChange,
    { inline, onDisk = false, check, onlyPending = false, behind = false }: Rewriting = {},
  ): Promise<Node> {
    const place = this.#pending.get(ino)
    const exclusive = place === undefined ? [] : [entryKey(place.parent, place.name)]
    const shared = place === undefined ? [] : [inodeKey(place.parent)]
    const done = this.#changes.make([...exclusive, inodeKey(ino)], shared, async (fresh) => {
      const pending = this.#pending.get(ino)
      if (pending !== undefined) {
        await check?.(pending.node)
        return await this.#storePending(pending, change, { inline, onDisk }, fresh)
      }
      const node = await this.#sources.names.nodeForChange(ino, fresh)
      if (onlyPending) return { body: undefined, result: node }
      await check?.(node)
      const inode = changed(node, change, this.#cluster.clock.time())
      return planRewrite(this.#sources, node, inode, { inline, onDisk, behind })
    })
    return done.finally(() => {
      if (place !== undefined) place.isOnItsWay = false
    })
  }

  /** Plans to store a pending create with its changes so far. */
  async #storePending(
    pending: PendingCreate,
    change: InodeChange,
    options: PlanOptions,
    fresh: boolean,
  ): Promise<Plan<Node>> {
    const { parent, name, node } = pending
    pending.isOnItsWay = true
    const inode = changed(node, change, this.#cluster.clock.time())
    try {
      const file = { parent, name, ino: node.ino, inode }
      const plan = await planCreation(this.#sources, file, options, fresh)
      return {
        ...plan,
        takeId: () => {
          const { id } = pending
          pending.id = undefined
          return id
        },
        done: (written) => {
          this.#pending.delete(node.ino)
          // The folder's summary already counts the entry.
          const counted = { ino: node.ino, type: direntType(inode.mode) }
          this.#sources.cache.touch(parent, written.id, counted, undefined)
          return plan.done(written)
        },
      }
    } catch (error) {
      // Another client was let in before it could be stored, and has taken the name.
      if (fresh && isError(error, 'exists', 'notFound')) this.#pending.delete(node.ino)
      throw error
    }
  }
}

/** Applies `change` to the inode. The type and the number of names must stay. */
function changed({ inode }: Node, change: InodeChange, now: Time): Inode {
  const made = change(inode, now)
  assert(typeOf(made.mode) === typeOf(inode.mode), 'a file becomes something else')
  assert(made.nlink === inode.nlink, 'a name comes or goes with its entry alone')
  return made
}

/** The time of a file that was written at `written`: the latest one if that is newer and not the one `before`. */
function timeAfter(latest: Time, before: Time, written: Time): Time {
  const isNewer = compareTimes(latest, before) !== 0 && compareTimes(latest, written) >= 0
  return isNewer ? latest : written
}
