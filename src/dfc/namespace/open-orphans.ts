/**
 * Files without a name that somebody here has open: their inodes stay until they are closed. They are
 * written again from time to time, so that no repair takes them for those of a mount that died.
 */
import assert from 'node:assert/strict'
import type { Clock } from '../../clock.js'
import { isError } from '../../errors.js'
import { encodeInode, fileType, inodeKey, type Key, typeOf } from '../../wire/records.js'
import type { Node } from './cache/node.js'
import type { NodeCache, Written } from './cache/node-cache.js'

/** Tells whether a file that loses its last link is open here, so that its inode must stay until it is closed. */
export type IsOpen = (ino: number) => boolean

/** The write that takes one name away from a file. */
interface DroppedLink {
  readonly write: { readonly key: Key; readonly value: Buffer | null }
  /** To be called when it is committed; gives the inode as it is then. */
  readonly done: (written: Written) => Node
}

export class OpenOrphans {
  readonly #clock: Clock
  readonly #cache: NodeCache
  readonly #inos = new Set<number>()
  #renewedMs: number

  constructor(clock: Clock, cache: NodeCache) {
    this.#clock = clock
    this.#cache = cache
    this.#renewedMs = clock.monotonic()
  }

  droppedLink(node: Node, keep: IsOpen): DroppedLink {
    assert(typeOf(node.inode.mode) !== fileType.folder, 'a folder goes with its only name')
    const nlink = Math.max(0, node.inode.nlink - 1)
    const inode = { ...node.inode, nlink, ctime: this.#clock.time() }
    const key = inodeKey(node.ino)
    if (nlink === 0 && !keep(node.ino)) {
      return {
        write: { key, value: null },
        done: ({ id }) => {
          this.#cache.dropNode(node.ino)
          return { ino: node.ino, version: id, inode, folder: null }
        },
      }
    }
    return {
      write: { key, value: encodeInode(inode) },
      done: (written) => {
        if (nlink === 0) this.#inos.add(node.ino)
        return this.#cache.writeNode(node.ino, written, inode)
      },
    }
  }

  add(ino: number): void {
    this.#inos.add(ino)
  }

  delete(ino: number): void {
    this.#inos.delete(ino)
  }

  /** Calls `rewrite` for each of them, unless that was done less than `everyMs` ago. */
  async renew(everyMs: number, rewrite: (ino: number) => Promise<unknown>): Promise<void> {
    const nowMs = this.#clock.monotonic()
    if (nowMs - this.#renewedMs < everyMs) return
    this.#renewedMs = nowMs
    for (const ino of this.#inos) {
      try {
        await rewrite(ino)
      } catch (error) {
        if (!isError(error, 'notFound', 'stale')) throw error
        this.#inos.delete(ino)
      }
    }
  }
}
