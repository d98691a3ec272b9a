/**
 * Changes of attributes and content of a file, not of its names.
 */
import assert from 'node:assert/strict'
import { compareTimes, type Time } from '../../clock.js'
import { type Inode, inodeKey, typeOf } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Content } from '../content/content.js'
import { assertContent } from '../content/extents.js'
import type { PreparedSegment } from '../content/prepared-segment.js'
import type { Node } from './cache/node.js'
import type { Changes } from './changes.js'
import type { LocalLog } from './local-log.js'
import { planRewrite } from './plans/rewrite.js'
import type { Sources } from './plans/sources.js'
import { assertHeld, segmentsToAskFor } from './stored-segments.js'

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
  /** A name of the file, if this stores its content. */
  readonly name?: string
}

export type HowWritten = Pick<Rewriting, 'inline' | 'onDisk' | 'name'>

export class InodeChanges {
  readonly #cluster: Cluster
  readonly #sources: Sources
  readonly #log: LocalLog
  readonly #changes: Changes

  constructor(cluster: Cluster, sources: Sources, log: LocalLog, changes: Changes) {
    this.#cluster = cluster
    this.#sources = sources
    this.#log = log
    this.#changes = changes
  }

  /** See `Namespace.writeContent`. */
  writeContent(
    ino: number,
    base: Node,
    content: Content,
    times: ContentTimes,
    { inline, onDisk = false, name = String(ino) }: HowWritten = {},
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
      { inline, onDisk, name, check: (node) => this.#assertHeld(node, content, inline) },
    )
  }

  /** Throws `stale` when a segment of `content` is gone. */
  async #assertHeld(
    node: Node,
    content: Content,
    inline: PreparedSegment | undefined,
  ): Promise<void> {
    const asked = segmentsToAskFor(node, content, inline)
    if (asked.length === 0) return
    await this.#log.settleForAll()
    await assertHeld(this.#cluster, asked)
  }

  /**
   * Writes the inode that `change` makes from the latest one; it is called again when that was not the latest. Throws
   * `stale` when the file is gone.
   */
  rewrite(
    ino: number,
    change: InodeChange,
    { inline, onDisk = false, check, name }: Rewriting = {},
  ): Promise<Node> {
    return this.#changes.make([inodeKey(ino)], [], async (fresh) => {
      const node = await this.#sources.names.nodeForChange(ino, fresh)
      await check?.(node)
      const inode = changed(node, change, this.#cluster.clock.time())
      const file = name === undefined ? undefined : { ino, name }
      return planRewrite(this.#sources, node, inode, { inline, onDisk, file })
    })
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
