/**
 * One file that is open in this mount, however many handles it has: its latest committed content, and
 * the draft of what was written since. All handles see what is written here at once; what another
 * mount commits is seen by whoever opens the file afterwards, while a reader that was there before
 * goes on in the version it began with.
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

export interface OpenFileTools extends DraftTools {
  readonly clock: Clock
  readonly namespace: Pick<Namespace, 'cached' | 'store' | 'writeContent'>
  readonly sync: Client['sync']
  readonly memory: DraftMemory
  readonly kernel: KernelView
}

/** One open(2) of a file. */
export interface Handle {
  readonly file: OpenFile
  /** It neither uses nor fills the kernel's pages. */
  readonly direct: boolean
  /** What is read by it changes the atime. */
  readonly countsReads: boolean
  readonly canWrite: boolean
  readonly appends: boolean
  /** O_DSYNC or O_SYNC: what is changed is on the disks when it is answered. */
  readonly syncs: boolean
  readonly readAhead: ReadAhead
  /** The older version that this handle goes on reading. */
  pinned: Content | undefined
  /** On the monotonic clock; and how many reads have not been answered yet. */
  lastReadMs: number
  readsUnderWay: number
  /** No program has it any more. */
  isClosing: boolean
}

/** A reader that was heard of so lately is still reading. */
const readingMs = 500
/** For so long an open waits for those who read an older version. */
const patienceMs = 5000
const pollMs = 10

export class OpenFile implements Holder {
  readonly ino: number
  /** For people. */
  name: string
  readonly handles = new Set<Handle>()
  /** While its last handles are closed with something that is not stored: until that is, or given up. */
  ending: Promise<void> | undefined
  /** The latest that this mount knows. */
  node: Node
  /** No name refers to it: it goes when the last handle does. */
  orphaned = false
  /** Another mount has removed it, in all its names. */
  isRemoved = false
  /** Made without a name, it may still get one. */
  linkable = false
  readonly #tools: OpenFileTools
  readonly #lock = new Semaphore(1)
  /** What was committed, as far as open handles have seen it. */
  #content: Content
  /** Segments of it that are known to be on the servers' disks. */
  #onDisk: ReadonlySet<string> = new Set()
  #draft: Draft | undefined
  /** On the monotonic clock. */
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

  /** Written to for a long time, in a way that can be shown to others before it is finished. */
  get isDue(): boolean {
    const ageMs = this.#tools.clock.monotonic() - this.#draftSinceMs
    return this.#draft?.onlyAppends === true && ageMs > limits.draftAgeMsMax
  }

  /** In bytes, as programs of this mount see it. */
  get size(): number {
    return this.#draft?.size ?? this.#content.size
  }

  /** How much of it is no hole, if that is not committed yet. */
  get dataBytes(): number | undefined {
    return this.#draft?.data.reduce((sum, { at, end }) => sum + end - at, 0)
  }

  /** When it was last written to and changed, if something is not committed yet. */
  get draftTimes(): ContentTimes | undefined {
    return this.#draft
  }

  /**
   * What the kernel is to be told of the file's size, `latest` being on the servers. It knows one size
   * for all who have the file open, so a reader gets its own version's until it is through.
   */
  told(latest: Content): Content {
    return this.isBeingRead ? this.#content : latest
  }

  /** Somebody is in the middle of reading the content through the kernel's pages. */
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

  /** Some handle fills the kernel's pages with an older version. */
  get hasOldPages(): boolean {
    for (const { pinned, direct } of this.handles) if (pinned !== undefined && !direct) return true
    return false
  }

  get draft(): Draft | undefined {
    return this.#draft
  }

  // -- what others do ----------------------------------------------------------------------------

  /** Resolves when nobody is in the middle of reading any more, at the latest after a while. */
  async quiet(): Promise<void> {
    const { clock } = this.#tools
    const deadlineMs = clock.monotonic() + patienceMs
    while (this.isBeingRead && clock.monotonic() < deadlineMs) await sleep(clock, pollMs)
  }

  /** Whether `node` has other content than what handles see here. */
  differsFrom({ inode }: Node): boolean {
    return this.#draft === undefined && !sameContent(inode, this.#content)
  }

  /** At an open: `node` is what the servers have now. Readers of a version that is gone keep it. */
  revalidate(node: Node): void {
    // It was asked for before the last commit here.
    if (node.version < this.node.version) return
    this.noteNode(node)
    if (!this.differsFrom(node)) return
    const content = contentOf(node)
    if (!isPrefix(this.#content, content)) {
      for (const handle of this.handles) handle.pinned ??= this.#content
    }
    this.#content = content
  }

  /** Newer attributes of the file: they have changed it, too, as what is in its draft has. */
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
   * The bytes `at` .. `at + length`, fewer at the end of the file. Throws `stale` where the kernel would mix the reader's old version with a newer and longer one.
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

  /** Who reads on at the end, such as tail -f, sees what others have appended meanwhile. */
  #followAppends(): void {
    const latest = this.#tools.namespace.cached(this.ino)
    if (latest !== undefined && isPrefix(this.#content, latest.inode)) this.revalidate(latest)
  }

  // -- writing -----------------------------------------------------------------------------------

  /** What appends goes to the end, whatever `at` says. */
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

  /** fallocate(2): makes the file at least `size` long. */
  extend(size: number): Promise<void> {
    return this.#change((draft) => draft.truncate(Math.max(size, draft.size)))
  }

  punch(at: number, length: number): Promise<void> {
    return this.#change((draft) => draft.punch(at, length))
  }

  /** Puts a range of `source`, which must be stored, to `at`. */
  paste(source: Content, from: number, length: number, at: number): Promise<void> {
    return this.#change((draft) => draft.paste(source, from, length, at))
  }

  /** The bytes `at` .. `at + length` as content of its own that is stored. */
  async stored(at: number, length: number): Promise<Content> {
    const whole = await this.#lock.run(async () => (await this.#draft?.flatten()) ?? this.#content)
    const end = Math.min(at + length, whole.size)
    if (at >= end) return emptyContent
    return copyRange(whole, at, end - at, emptyContent, 0)
  }

  /** The mtime was set by a program: what is committed later must not change it. */
  setTime(mtime: Time): void {
    if (this.#draft !== undefined) this.#draft.mtime = mtime
  }

  // -- committing --------------------------------------------------------------------------------

  /**
   * Commits what was written. When it throws nothing is lost: the draft stays, and a later call
   * tries again. A file that will never have a name again has nobody to commit for.
   */
  async commit(): Promise<void> {
    await this.#commit(false)
  }

  /** As `commit`, and three servers have it on their disks when it resolves. */
  async sync(): Promise<void> {
    if (await this.#commit(true)) return
    const { segments } = this.#content
    const added = segments.filter(({ id }) => !this.#onDisk.has(id))
    await this.#tools.sync({ ...this.#content, segments: added })
    this.#onDisk = new Set(segments.map(({ id }) => id))
  }

  /** Returns whether it is on the disks, too: that takes no more messages when it is all in one. */
  #commit(toDisk: boolean): Promise<boolean> {
    return this.#lock.run(async () => {
      const draft = this.#draft
      if (this.orphaned && !this.linkable) return false
      if (draft === undefined) {
        await this.#tools.namespace.store(this.ino)
        return false
      }
      let onDisk = false
      try {
        const { content, inline } = await draft.store()
        // Those that programs have seen: nothing happens to the file when it is stored.
        const times = { mtime: draft.mtime, ctime: draft.ctime }
        const [ino, base] = [this.ino, this.node]
        const isThere = ({ id }: Segment): boolean =>
          id === inline?.segment.id || this.#onDisk.has(id)
        onDisk = toDisk && content.segments.every(isThere)
        const how = { inline, onDisk }
        const node = await this.#tools.namespace.writeContent(ino, base, content, times, how)
        // Its attributes may have been changed since.
        this.noteNode(node)
        this.#content = contentOf(node)
        if (onDisk) this.#onDisk = new Set(this.#content.segments.map(({ id }) => id))
      } finally {
        this.#account()
      }
      // The last handle of a file without a name gives up what it has while that is being stored.
      if (draft === this.#draft) this.#forget(draft)
      const { kernel } = this.#tools
      kernel.tell(this.ino, this.node.version, this.#content, true)
      for (const { direct, pinned } of this.handles) {
        if (!direct && pinned === undefined) kernel.setPages(this.ino, this.#content)
      }
      return onDisk
    })
  }

  /**
   * Gives up what is not committed, once `keep` has it elsewhere, unless somebody has opened the file
   * again. What they change meanwhile waits, so that it is not given up with the rest.
   */
  abandon(keep: (draft: Draft) => Promise<void>): Promise<void> {
    return this.#lock.run(async () => {
      if (this.#draft === undefined || this.handles.size > 0) return
      await keep(this.#draft)
      this.discard()
    })
  }

  /** Gives up what is not committed, which the kernel may have in its pages. */
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

  /** Runs a change of the draft, alone, and makes it the file's last modification. */
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

export function contentOf({ inode }: Node): Content {
  return { size: inode.size, segments: inode.segments, extents: inode.extents }
}
