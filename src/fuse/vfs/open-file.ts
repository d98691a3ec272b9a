/**
 * One file that is open in this mount, with all its handles: its latest committed content, and the draft of later
 * writes. All handles see local writes at once. A commit of another mount is visible to later opens, while an active
 * reader goes on in the version it began with.
 */

import assert from 'node:assert/strict'
import { Semaphore } from '../../async/semaphore.js'
import { type Clock, compareTimes, sleep, type Time } from '../../clock.js'
import type { Client } from '../../dfc/client.js'
import { type Content, emptyContent } from '../../dfc/content/content.js'
import { isPrefix, sameContent } from '../../dfc/content/content-equality.js'
import { copyRange } from '../../dfc/content/extents.js'
import type { ReadAhead } from '../../dfc/content/read-ahead.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { ContentTimes } from '../../dfc/namespace/inode-changes.js'
import type { Namespace } from '../../dfc/namespace/namespace.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { LentBuffers } from '../../memory/shared-buffer.js'
import type { Segment } from '../../wire/records.js'
import { Draft, type DraftTools } from '../draft/draft.js'
import type { DraftMemory, Holder } from '../draft/draft-memory.js'
import type { KernelView } from './kernel-view.js'
import type { LastFailures } from './last-failures.js'

export interface OpenFileTools extends DraftTools {
  readonly clock: Clock
  readonly namespace: Pick<Namespace, 'names' | 'assertKept' | 'writeContent'>
  readonly sync: Client['sync']
  readonly memory: DraftMemory
  readonly kernel: KernelView
  readonly failures: Pick<LastFailures, 'notStored' | 'stored'>
}

/** One open(2) of a file. */
export interface Handle {
  readonly file: OpenFile
  /** Bypasses the kernel's pages: it neither uses nor fills them. */
  readonly direct: boolean
  /** Reads by this handle change the atime. */
  readonly countsReads: boolean
  readonly canWrite: boolean
  readonly appends: boolean
  /** O_DSYNC or O_SYNC: changes are on the disks before they are answered. */
  readonly syncs: boolean
  readonly readAhead: ReadAhead
  /** The older version that this handle goes on reading. */
  pinned: Content | undefined
  /** Time of the last read, on the monotonic clock, in ms. */
  lastReadMs: number
  readsUnderWay: number
  /** No program has the handle open any more. */
  isClosing: boolean
}

/** A reader counts as reading for this time, in ms, after its last read. */
const readingMs = 500
/** How long an open waits for readers of an older version, in ms. */
const patienceMs = 5000
const pollMs = 10

export class OpenFile implements Holder {
  readonly ino: number
  /** A name of the file, for messages. */
  name: string
  readonly handles = new Set<Handle>()
  /** Resolves when the content left by the last handles is stored, or given up; undefined while there is none. */
  ending: Promise<void> | undefined
  /** The latest version of the inode that this mount knows. */
  node: Node
  /** No name refers to the file: it is deleted when the last handle is closed. */
  orphaned = false
  /** Another mount has removed all names of the file. */
  isRemoved = false
  /** The file was created without a name and may still get one. */
  linkable = false
  readonly #tools: OpenFileTools
  readonly #lock = new Semaphore(1)
  /** The committed content that open handles see. */
  #content: Content
  /** Ids of its segments that are known to be on the servers' disks. */
  #onDisk: ReadonlySet<string> = new Set()
  #draft: Draft | undefined
  /** Time of the draft's first write, on the monotonic clock, in ms. */
  #draftSinceMs = 0

  constructor(tools: OpenFileTools, node: Node, name: string) {
    this.#tools = tools
    this.ino = node.ino
    this.node = node
    this.name = name
    this.#content = contentOf(node)
  }

  get isDirty(): boolean {
    return this.#draft !== undefined
  }

  /** Whether the draft is old, and made of appends alone, so that other mounts may see it unfinished. */
  get isDue(): boolean {
    const ageMs = this.#tools.clock.monotonic() - this.#draftSinceMs
    return this.#draft?.onlyAppends === true && ageMs > limits.draftAgeMsMax
  }

  /** Size in bytes, as programs of this mount see it. */
  get size(): number {
    return this.#draft?.size ?? this.#content.size
  }

  /** Bytes of the draft that are no hole; undefined without a draft. */
  get dataBytes(): number | undefined {
    return this.#draft?.data.reduce((sum, { at, end }) => sum + end - at, 0)
  }

  /** Times of the draft's last write and change; undefined without a draft. */
  get draftTimes(): ContentTimes | undefined {
    return this.#draft
  }

  /**
   * The content whose size the kernel is to have, `latest` being on the servers. The kernel has one size for all
   * handles, so an active reader's own version takes precedence until it is done.
   */
  told(latest: Content): Content {
    return this.isBeingRead ? this.#content : latest
  }

  /** Whether a handle is in the middle of reading the content through the kernel's pages. */
  get isBeingRead(): boolean {
    const since = this.#tools.clock.monotonic() - readingMs
    for (const { pinned, direct, lastReadMs, readsUnderWay } of this.handles) {
      const isReading = readsUnderWay > 0 || lastReadMs > since
      if (pinned === undefined && !direct && isReading) return true
    }
    return false
  }

  get content(): Content {
    return this.#content
  }

  /** Whether a handle fills the kernel's pages with an older version. */
  get hasOldPages(): boolean {
    for (const { pinned, direct } of this.handles) if (pinned !== undefined && !direct) return true
    return false
  }

  get draft(): Draft | undefined {
    return this.#draft
  }

  // -- changes by other mounts -------------------------------------------------------------------

  /** Resolves when no handle is in the middle of reading, after `patienceMs` at the latest. */
  async quiet(): Promise<void> {
    const { clock } = this.#tools
    const deadlineMs = clock.monotonic() + patienceMs
    while (this.isBeingRead && clock.monotonic() < deadlineMs) await sleep(clock, pollMs)
  }

  /** Whether `node` has other content than handles see here. */
  differsFrom({ inode }: Node): boolean {
    return this.#draft === undefined && !sameContent(inode, this.#content)
  }

  /** Takes over `node`, as the servers have it at an open. Readers of an older version keep that. */
  revalidate(node: Node): void {
    // The node was read before the last commit here.
    if (node.version < this.node.version) return
    this.noteNode(node)
    if (!this.differsFrom(node)) return
    const content = contentOf(node)
    if (!isPrefix(this.#content, content)) {
      for (const handle of this.handles) handle.pinned ??= this.#content
    }
    this.#content = content
  }

  /** Takes over newer attributes of the file. Like the draft's times, they count as its change. */
  noteNode(node: Node): void {
    assert(node.ino === this.ino, 'the attributes of another file')
    if (node.version < this.node.version) return
    const [before, after] = [this.node.inode.ctime, node.inode.ctime]
    const draft = this.#draft
    const hasChanged = compareTimes(before, after) !== 0
    if (draft !== undefined && hasChanged && compareTimes(draft.ctime, after) < 0)
      draft.ctime = after
    this.node = node
  }

  // -- reading -----------------------------------------------------------------------------------

  /**
   * Reads the bytes `at` .. `at + length`, fewer at the end of the file. Throws `stale` when the kernel would mix the
   * reader's old version with a newer and longer one.
   */
  async read(handle: Handle, at: number, length: number): Promise<LentBuffers> {
    handle.readsUnderWay += 1
    try {
      return await this.#read(handle, at, length)
    } finally {
      handle.readsUnderWay -= 1
      assert(handle.readsUnderWay >= 0, 'a read ends once')
      handle.lastReadMs = this.#tools.clock.monotonic()
    }
  }

  async #read(handle: Handle, at: number, length: number): Promise<LentBuffers> {
    const { pinned, direct } = handle
    if (pinned === undefined) {
      if (this.#draft !== undefined) {
        return { parts: [await this.#draft.read(at, length)], release: () => {} }
      }
      if (at + length > this.#content.size) this.#followAppends()
    } else if (!direct && at + length > pinned.size && this.#content.size > pinned.size) {
      throw new DfsError('stale')
    }
    const content = pinned ?? this.#content
    handle.readAhead.note(content, at, length)
    return this.#tools.content.readLent(content, at, length)
  }

  /** Lets a reader at the end, such as tail -f, see what other mounts have appended. */
  #followAppends(): void {
    const latest = this.#tools.namespace.names.cached(this.ino)
    if (latest !== undefined && isPrefix(this.#content, latest.inode)) this.revalidate(latest)
  }

  // -- writing -----------------------------------------------------------------------------------

  /** Writes `bytes` at `at`, or at the end if `appends`. */
  async write(handle: Handle, at: number, bytes: Buffer, appends: boolean): Promise<void> {
    await this.#tools.memory.whenRoom(this.#lock, () =>
      this.#changeAlone(async (draft) => {
        handle.pinned = undefined
        await draft.write(appends ? draft.size : at, bytes)
      }),
    )
  }

  truncate(size: number): Promise<void> {
    return this.#change((draft) => draft.truncate(size))
  }

  /** Makes the file at least `size` bytes long: fallocate(2). */
  extend(size: number): Promise<void> {
    return this.#change((draft) => draft.truncate(Math.max(size, draft.size)))
  }

  punch(at: number, length: number): Promise<void> {
    return this.#change((draft) => draft.punch(at, length))
  }

  /** Inserts a range of `source`, which must be stored, at `at`. */
  paste(source: Content, from: number, length: number, at: number): Promise<void> {
    return this.#change((draft) => draft.paste(source, from, length, at))
  }

  /** Stores the bytes `at` .. `at + length` and returns them as content. */
  async stored(at: number, length: number): Promise<Content> {
    const whole = await this.#lock.run(async () => (await this.#draft?.flatten()) ?? this.#content)
    const end = Math.min(at + length, whole.size)
    if (at >= end) return emptyContent
    return copyRange(whole, at, end - at, emptyContent, 0)
  }

  /** Notes that a program has set the mtime: a later commit must not change it. */
  setTime(mtime: Time): void {
    if (this.#draft !== undefined) this.#draft.mtime = mtime
  }

  // -- committing --------------------------------------------------------------------------------

  /**
   * Commits the draft. When it throws nothing is lost: the draft stays, and a later call tries again. A file that can
   * never have a name again is not committed.
   */
  async commit(): Promise<void> {
    await this.#commit(false)
  }

  /** Commits the draft, and resolves when three servers have it on their disks. */
  async sync(): Promise<void> {
    if (await this.#commit(true)) return
    const { segments } = this.#content
    const added = segments.filter(({ id }) => !this.#onDisk.has(id))
    await this.#tools.sync({ ...this.#content, segments: added })
    // What was answered before may have been given up while this waited for it.
    this.#tools.namespace.assertKept(this.ino)
    this.#onDisk = new Set(segments.map(({ id }) => id))
  }

  /** Commits the draft. Returns whether it is on the disks, too, which takes no more messages for a single commit. */
  #commit(toDisk: boolean): Promise<boolean> {
    return this.#lock.run(async () => {
      const draft = this.#draft
      if (this.orphaned && !this.linkable) return false
      this.#tools.namespace.assertKept(this.ino)
      if (draft === undefined) return false
      let onDisk = false
      try {
        const { content, inline } = await draft.store()
        // Storing a file does not change the times that programs have seen.
        const times = { mtime: draft.mtime, ctime: draft.ctime }
        const [ino, base] = [this.ino, this.node]
        const isThere = ({ id }: Segment): boolean =>
          id === inline?.segment.id || this.#onDisk.has(id)
        onDisk = toDisk && content.segments.every(isThere)
        const how = { inline, onDisk, name: this.name }
        const node = await this.#tools.namespace.writeContent(ino, base, content, times, how)
        // The attributes may have been changed since the draft began.
        this.noteNode(node)
        this.#content = contentOf(node)
        if (onDisk) this.#onDisk = new Set(this.#content.segments.map(({ id }) => id))
      } finally {
        this.#account()
      }
      // The last handle of a file without a name gives up what it has while that is being stored.
      if (draft === this.#draft) this.#forget(draft)
      const { kernel, failures } = this.#tools
      failures.stored(this.ino)
      kernel.tell(this.ino, this.node.version, this.#content, true)
      for (const { direct, pinned } of this.handles) {
        if (!direct && pinned === undefined) kernel.setPages(this.ino, this.#content)
      }
      return onDisk
    })
  }

  /**
   * Gives up the draft, and removes what was stored for it, after `keep` has saved it. Does nothing when the file was
   * opened again. Later writes wait meanwhile, so that they are not given up as well.
   */
  abandon(keep: (draft: Draft) => Promise<void>): Promise<void> {
    return this.#lock.run(async () => {
      if (this.#draft === undefined || this.handles.size > 0) return
      await keep(this.#draft)
      await this.#draft.removeStored()
      this.discard()
    })
  }

  /** Gives up the draft, whose bytes may be in the kernel's pages. */
  discard(): void {
    if (this.#draft === undefined) return
    this.#forget(this.#draft)
    this.#tools.kernel.forgetFile(this.ino)
  }

  // -- memory ------------------------------------------------------------------------------------

  get spillableBytes(): number {
    return this.#draft?.spillableBytes ?? 0
  }

  get uploading(): Promise<void> | undefined {
    return this.#draft?.uploading
  }

  spill(): Promise<void> {
    return this.#lock.run(async () => {
      try {
        await this.#draft?.spill()
      } finally {
        this.#account()
      }
    })
  }

  /** Runs an exclusive change of the draft, and makes it the file's last modification. */
  #change(action: (draft: Draft) => Promise<void>): Promise<void> {
    return this.#lock.run(() => this.#changeAlone(action))
  }

  /** Does so with the lock that the caller has. */
  async #changeAlone(action: (draft: Draft) => Promise<void>): Promise<void> {
    const now = this.#tools.clock.time()
    const draft = this.#draft ?? new Draft(this.#tools, this.#content, now)
    await action(draft).finally(() => {
      if (this.#draft !== undefined) this.#account()
    })
    draft.mtime = now
    draft.ctime = now
    if (this.#draft === undefined) this.#draftSinceMs = this.#tools.clock.monotonic()
    this.#draft = draft
    this.#account()
  }

  #forget(draft: Draft): void {
    assert(draft === this.#draft, 'what is given up is not what was written last')
    draft.release()
    this.#draft = undefined
    this.#tools.memory.note(this, 0)
  }

  #account(): void {
    if (this.#draft !== undefined) this.#tools.memory.note(this, this.#draft.memoryBytes)
  }
}

function contentOf({ inode }: Node): Content {
  return { size: inode.size, segments: inode.segments, extents: inode.extents }
}
