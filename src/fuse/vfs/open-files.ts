/**
 * The open files of this mount, by inode, and the operations on their bytes. An open file stays here until its last
 * handle is closed and its draft is stored, or saved in the recovery folder.
 */
import assert from 'node:assert/strict'
import { constants } from 'node:fs'
import { LRUCache } from 'lru-cache'
import type { Client } from '../../dfc/client.js'
import { type Node, newerOf } from '../../dfc/namespace/cache/node.js'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugFuse, notice } from '../../log.js'
import { fileType, typeOf } from '../../wire/records.js'
import { type Handle, OpenFile, type OpenFileTools } from './open-file.js'
import type { RecoveryFolder } from './recovery-folder.js'

const { O_APPEND, O_DSYNC, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants
/** O_NOATIME of open(2), which Node does not name. */
const noAtimeFlag = 0o1000000
const accessMode = O_RDONLY | O_WRONLY | O_RDWR

/** How the kernel is to treat an opened file. */
export interface Opened {
  readonly handle: Handle
  /** The kernel's pages must not be used: another version of the file is in use. */
  readonly direct: boolean
  /** The kernel's pages of the file are still valid. */
  readonly keep: boolean
}

export class OpenFiles {
  readonly #client: Pick<Client, 'content' | 'namespace' | 'sync'>
  readonly #tools: OpenFileTools
  readonly #recovery: RecoveryFolder
  readonly #isSync: boolean
  readonly #files = new Map<number, OpenFile>()
  /** Why the content of files that were closed went to the recovery folder, by inode, until a fsync has said so. */
  readonly #lost = new LRUCache<number, DfsError>({ max: limits.kernelCacheEntriesMax })

  /** `isSync`: all handles behave as if opened with O_SYNC. */
  constructor(
    client: Pick<Client, 'content' | 'namespace' | 'sync'>,
    tools: OpenFileTools,
    recovery: RecoveryFolder,
    isSync = false,
  ) {
    this.#client = client
    this.#tools = tools
    this.#recovery = recovery
    this.#isSync = isSync
  }

  get(ino: number): OpenFile | undefined {
    return this.#files.get(ino)
  }

  /** Whether some program has the file open. */
  has(ino: number): boolean {
    return this.#files.has(ino)
  }

  /** Files with a draft. */
  get dirty(): readonly OpenFile[] {
    return [...this.#files.values()].filter(({ isDirty }) => isDirty)
  }

  // -- opening and closing -----------------------------------------------------------------------

  /** Opens a file that was just read from the servers as `found`. `name` is for messages. */
  async open(found: Node, name: string, flags: number): Promise<Opened> {
    if (typeOf(found.inode.mode) === fileType.folder) throw new DfsError('isDirectory')
    const { node, known } = await this.#settled(found)
    const { kernel } = this.#tools
    if (!known?.isDirty) kernel.correct(node.ino, node.version, node.inode)
    const file = known ?? this.#add(node, name)
    file.revalidate(node)
    file.name = name
    const direct = file.hasOldPages
    const handle: Handle = {
      file,
      direct,
      countsReads: (flags & accessMode) !== O_WRONLY && (flags & noAtimeFlag) === 0,
      canWrite: (flags & accessMode) !== O_RDONLY,
      appends: (flags & O_APPEND) !== 0,
      syncs: this.#isSync || (flags & O_DSYNC) !== 0,
      readAhead: this.#client.content.readAhead(),
      pinned: undefined,
      lastReadMs: this.#tools.clock.monotonic(),
      readsUnderWay: 0,
      isClosing: false,
    }
    file.handles.add(handle)
    try {
      if ((flags & O_TRUNC) !== 0) {
        await file.truncate(0)
        // No close of a handle that only reads would commit it.
        if (handle.syncs) await file.sync()
        else if (!handle.canWrite) await file.commit()
      }
    } catch (error) {
      await this.close(handle)
      throw error
    }
    const keep = !direct && kernel.hasPagesOf(file.ino, file.content)
    if (!direct) kernel.setPages(file.ino, file.content)
    return { handle, direct, keep }
  }

  /** Opens a file that was just created without a name. With O_EXCL it never gets one. */
  async openNameless(node: Node, flags: number): Promise<Opened> {
    try {
      const opened = await this.open(node, String(node.ino), flags)
      opened.handle.file.orphaned = true
      opened.handle.file.linkable = (flags & O_EXCL) === 0
      return opened
    } catch (error) {
      await this.#forget(node.ino)
      throw error
    }
  }

  /** Closes a handle. The last one of a file stores its draft on the servers or in the recovery folder. */
  close(handle: Handle): Promise<void> {
    const { file } = handle
    assert(!handle.isClosing, 'a handle is closed once')
    handle.readAhead.close()
    handle.isClosing = true
    const closed = this.#close(handle)
    if (!file.isDirty || [...file.handles].some(({ isClosing }) => !isClosing)) return closed
    const ending = closed.finally(() => {
      if (file.ending === ending) file.ending = undefined
    })
    file.ending = ending
    return ending
  }

  async #close(handle: Handle): Promise<void> {
    const { file } = handle
    if (handle.canWrite && file.isDirty) await this.#commitQuietly(file)
    file.handles.delete(handle)
    await this.#dropUnused(file)
  }

  /** Commits appended data of files that stay open, such as logs. To be called now and then. */
  async commitDue(): Promise<void> {
    for (const file of this.dirty) if (file.isDue) await this.#commitQuietly(file)
  }

  /** Commits every draft. Returns the files that could not be. */
  async commitAll(): Promise<readonly OpenFile[]> {
    await Promise.all(this.dirty.map((file) => this.#commitQuietly(file)))
    // Names, and files without a draft, are stored by the namespace.
    await this.#client.namespace
      .settle()
      .catch((error: unknown) => debugFuse('what was answered: %o', error))
    return this.dirty.filter(({ orphaned }) => !orphaned)
  }

  /** Ends all files at the end of the mount: a draft that cannot be stored goes to the recovery folder. */
  async abandonAll(): Promise<void> {
    await this.commitAll()
    for (const file of this.#files.values()) file.handles.clear()
    for (const file of [...this.#files.values()]) await this.#dropUnused(file)
  }

  /** Gives a file a name by `link`. For its first name, the draft is stored before. */
  async link(ino: number, name: string, link: (isFirst: boolean) => Promise<Node>): Promise<Node> {
    const file = this.#files.get(ino)
    const isFirst = file?.linkable === true
    if (isFirst) await file.commit()
    const node = await link(isFirst)
    file?.noteNode(node)
    if (isFirst) {
      file.name = name
      file.orphaned = false
      file.linkable = false
    }
    return node
  }

  /** Notes that a file has lost its last name. `node` is its inode without one. */
  async orphan(node: Node): Promise<void> {
    const file = this.#files.get(node.ino)
    if (file === undefined) return
    file.noteNode(node)
    file.orphaned = true
    await this.#dropUnused(file)
  }

  // -- bytes -------------------------------------------------------------------------------------

  async write(
    handle: Handle,
    at: number,
    bytes: Buffer,
    appends: boolean = handle.appends,
  ): Promise<number> {
    if (!handle.canWrite) throw new DfsError('badHandle')
    await handle.file.write(handle, at, bytes, appends)
    this.#lost.delete(handle.file.ino)
    // When the kernel has the file's pages, it asks for the sync itself.
    if (handle.direct) await this.syncIfWanted(handle)
    return bytes.length
  }

  /** Commits at a close(2), and throws its failure. A reader's close does not commit a half-written file. */
  async flush(handle: Handle): Promise<void> {
    if (handle.canWrite) await handle.file.commit()
  }

  /**
   * Performs fsync(2). Throws, once, why the content that was last written to the file is not there: a program may have
   * closed the file without a look at what that said.
   */
  async sync(file: OpenFile): Promise<void> {
    const lost = this.#lost.get(file.ino)
    this.#lost.delete(file.ino)
    await file.sync()
    if (lost !== undefined) throw lost
  }

  /** Makes a change durable if the handle is synchronous, where the kernel does not ask for it. */
  async syncIfWanted({ file, syncs }: Handle): Promise<void> {
    if (syncs) await file.sync()
  }

  /** Truncates an open file: ftruncate(2). */
  async truncate(handle: Handle, size: number): Promise<void> {
    if (!handle.canWrite) throw new DfsError('invalid')
    await handle.file.truncate(size)
    await this.syncIfWanted(handle)
  }

  /** Truncates a file and commits at once, unless the file is being written: truncate(2). */
  async truncateNode(node: Node, name: string, size: number): Promise<void> {
    const known = this.#files.get(node.ino)
    if (known?.isDirty) {
      await known.truncate(size)
      if (this.#isSync) await known.sync()
      return
    }
    const file = known ?? this.#add(node, name)
    file.revalidate(node)
    try {
      await file.truncate(size)
      if (this.#isSync) await file.sync()
      else await file.commit()
    } catch (error) {
      if (file.handles.size === 0) file.discard()
      throw error
    } finally {
      await this.#dropUnused(file)
    }
  }

  /** Copies a range without moving a byte: copy_file_range(2). Returns the number of bytes copied. */
  async copyRange(
    source: Handle,
    from: number,
    target: Handle,
    at: number,
    length: number,
  ): Promise<number> {
    if (!target.canWrite || target.appends) throw new DfsError('badHandle')
    const range = await source.file.stored(from, length)
    if (range.size > 0) await target.file.paste(range, 0, range.size, at)
    await this.syncIfWanted(target)
    return range.size
  }

  /**
   * Waits for readers of an older version, and for a close that is storing its draft or could not. Returns the state
   * after that.
   */
  async #settled(found: Node): Promise<{ node: Node; known: OpenFile | undefined }> {
    const { ino } = found
    const file = this.#files.get(ino)
    if (file?.ending !== undefined) {
      await file.ending
      return this.#settled(await this.#client.namespace.names.node(ino, true))
    }
    const newest = (node: Node, known: OpenFile | undefined): Node =>
      newerOf(newerOf(node, this.#client.namespace.names.latest(ino)), known?.node)
    const node = newest(found, file)
    if (file === undefined || !file.differsFrom(node) || !file.isBeingRead) {
      return { node, known: file }
    }
    await file.quiet()
    const again = await this.#client.namespace.names.node(ino, true)
    const known = this.#files.get(ino)
    return { node: newest(again, known), known }
  }

  // -- the table itself --------------------------------------------------------------------------

  #add(node: Node, name: string): OpenFile {
    if (this.#files.size >= limits.handlesMax) throw new DfsError('tooManyOpen')
    assert(!this.#files.has(node.ino), 'a file that is open twice would be written as two')
    const file = new OpenFile(this.#tools, node, name)
    this.#files.set(node.ino, file)
    return file
  }

  async #commitQuietly(file: OpenFile): Promise<void> {
    try {
      await file.commit()
    } catch (error) {
      debugFuse('commit of %s: %o', file.name, error)
      this.#tools.failures.notStored(file, error)
    }
  }

  async #dropUnused(file: OpenFile): Promise<void> {
    if (file.handles.size > 0) return
    if (file.orphaned) {
      await file.abandon(async () => {})
      if (file.handles.size > 0) return
      this.#files.delete(file.ino)
      await this.#forget(file.ino)
      return
    }
    if (file.isDirty) await this.#storeOrKeep(file)
    if (file.handles.size > 0 || file.isDirty) return
    if (this.#files.get(file.ino) === file) this.#files.delete(file.ino)
  }

  async #forget(ino: number): Promise<void> {
    try {
      await this.#client.namespace.forget(ino)
    } catch (error) {
      debugFuse('forget of %d: %o', ino, error)
    }
  }

  /**
   * Stores the draft, or saves it in the recovery folder. When that fails too, the file stays here, to be tried
   * again.
   */
  async #storeOrKeep(file: OpenFile): Promise<void> {
    try {
      await file.commit()
    } catch (why) {
      try {
        await file.abandon(async (draft) => {
          await this.#recovery.keep(file, draft, why)
          this.#lost.set(file.ino, asDfsError(why))
        })
      } catch (thrown) {
        notice(
          `"${file.name}" could neither be stored (${asDfsError(why).message}) ` +
            `nor kept in ${this.#recovery.path}: ${asDfsError(thrown).message}`,
          'error',
        )
      }
    }
  }
}
