/**
 * Maps the binding's paths onto inodes, component by component: from what the namespace has in its
 * cache, and from the servers where that has nothing or is too old. Files without a name that are
 * still open are found by the hidden path that the binding gave them.
 */
import type { Namespace } from '../dfc/namespace.js'
import type { Node } from '../dfc/node.js'
import { DfsError, isError } from '../errors.js'
import { limits } from '../limits.js'
import { rootIno } from '../wire/records.js'
import type { Filesystem } from './filesystem.js'

/** A name in a folder. */
export interface Place {
  readonly parent: number
  readonly name: string
}

/** libfuse gives such a name to an open file that loses its own. */
const hiddenName = /^\.fuse_hidden[0-9a-f]{16}$/
/** No name of fewer UTF-16 units can be too long in UTF-8. */
const safeUnits = Math.floor(limits.nameBytesMax / 3)

export class Paths {
  readonly #namespace: Pick<Namespace, 'cached' | 'cachedEntry' | 'node'>
  readonly #filesystem: Pick<Filesystem, 'lookup'>
  /** By the last component, which libfuse never gives twice: a folder above it may be renamed. */
  readonly #hidden = new Map<string, number>()

  constructor(
    namespace: Pick<Namespace, 'cached' | 'cachedEntry' | 'node'>,
    filesystem: Pick<Filesystem, 'lookup'>,
  ) {
    this.#namespace = namespace
    this.#filesystem = filesystem
  }

  /** Throws `notFound`, `illegalName`, `nameTooLong`. */
  async ino(path: string): Promise<number> {
    return this.#hiddenIno(path) ?? this.#resolve(namesOf(path))
  }

  /** The node as the cache has it, or else as the servers have it now. */
  async node(path: string): Promise<Node> {
    const hidden = this.#hiddenIno(path)
    if (hidden !== undefined) return this.#namespace.node(hidden)
    const names = namesOf(path)
    const name = names.pop()
    if (name === undefined) return this.#namespace.node(rootIno)
    const parent = await this.#resolve(names)
    const entry = this.#namespace.cachedEntry(parent, name)
    const cached = entry && this.#namespace.cached(entry.ino)
    return cached ?? this.#find(parent, name)
  }

  /** The node as the servers have it now: for open(2). Folders on the way may be up to a second old. */
  async fresh(path: string): Promise<Node> {
    const hidden = this.#hiddenIno(path)
    if (hidden !== undefined) return this.#namespace.node(hidden, true)
    if (path === '/') return this.#namespace.node(rootIno, true)
    return this.at(path, ({ parent, name }) => this.#find(parent, name))
  }

  /**
   * Does something with a name in a folder. When the folder turns out to be gone, it is looked for
   * anew: what is cached may be of a folder that another mount has replaced.
   */
  async at<T>(path: string, action: (place: Place) => Promise<T>): Promise<T> {
    const place = await this.#place(path)
    try {
      return await action(place)
    } catch (error) {
      if (!isError(error, 'notFound', 'stale') || place.parent === rootIno) throw error
      const again = await this.#refreshed(path)
      if (again === undefined || again.parent === place.parent) throw error
      return action(again)
    }
  }

  // -- names of files that have none ---------------------------------------------------------------

  /** Whether libfuse means `to` as the hidden name of a file that loses its own. */
  isHidden(path: string): boolean {
    return hiddenName.test(lastName(path))
  }

  get hidesAny(): boolean {
    return this.#hidden.size > 0
  }

  /** The file `ino` is known by `path` only from now on. */
  hide(path: string, ino: number): void {
    this.#hidden.set(lastName(path), ino)
  }

  /** True when `path` was a hidden one, which is then forgotten. */
  unhide(path: string): boolean {
    return this.#hidden.delete(lastName(path))
  }

  // ------------------------------------------------------------------------------------------------

  #hiddenIno(path: string): number | undefined {
    return this.#hidden.size === 0 ? undefined : this.#hidden.get(lastName(path))
  }

  async #place(path: string): Promise<Place> {
    const names = namesOf(path)
    const name = names.pop()
    if (name === undefined) throw new DfsError('busy')
    return { parent: await this.#resolve(names), name }
  }

  async #resolve(names: readonly string[]): Promise<number> {
    let ino = rootIno
    for (const name of names) {
      const entry = this.#namespace.cachedEntry(ino, name)
      ino = entry === undefined ? (await this.#find(ino, name)).ino : entry.ino
    }
    return ino
  }

  /** The same place with every folder on the way asked for; undefined when there is none now. */
  async #refreshed(path: string): Promise<Place | undefined> {
    const names = namesOf(path)
    const name = names.pop() ?? ''
    let parent = rootIno
    for (const folder of names) {
      try {
        parent = (await this.#find(parent, folder)).ino
      } catch (error) {
        if (isError(error, 'notFound')) return undefined
        throw error
      }
    }
    return { parent, name }
  }

  async #find(parent: number, name: string): Promise<Node> {
    if (hiddenName.test(name)) throw new DfsError('notFound')
    return this.#filesystem.lookup(parent, name)
  }
}

function lastName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The components of an absolute path. Throws `illegalName`, `nameTooLong`. */
export function namesOf(path: string): string[] {
  if (path === '/') return []
  // What was not UTF-8 arrives with this character in place of the bytes, which are lost.
  if (path.includes('\ufffd')) throw new DfsError('illegalName')
  const names = path.slice(1).split('/')
  for (const name of names) {
    if (name.length > safeUnits && Buffer.byteLength(name) > limits.nameBytesMax) {
      throw new DfsError('nameTooLong')
    }
  }
  return names
}
