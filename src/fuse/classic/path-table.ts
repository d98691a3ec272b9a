/**
 * The paths of the inode numbers that the kernel knows: a tree of names, in which a rename takes along everything
 * below. A file with several names has an inode for each, as with libfuse.
 */
import { FuseError, rootIno } from '../kernel/index.js'

export interface PathNode {
  readonly ino: number
  /** The node of the folder it is in; undefined for the root and for removed files. */
  parent: PathNode | undefined
  name: string
  /** The path that the file had when it was removed. */
  lastPath: string
  /** The latest known file type, as in inode(7). */
  type: number
  /** Lookups that the kernel counts, and number of opens. */
  lookups: number
  opens: number
  readonly children: Map<string, PathNode>
}

export class PathTable {
  readonly #nodes = new Map<number, PathNode>()
  readonly #root: PathNode
  #nextIno = rootIno

  constructor() {
    this.#root = this.#make(undefined, '', 0)
    this.#root.lookups = Number.POSITIVE_INFINITY
  }

  /** Returns the node of a number. Throws ESTALE. */
  get(ino: number): PathNode {
    const node = this.#nodes.get(ino)
    if (node === undefined) throw new FuseError('ESTALE')
    return node
  }

  /** Returns the path of a node. Throws ENOENT when it has no name any more. */
  pathOf(node: PathNode): string {
    if (node === this.#root) return '/'
    const names: string[] = []
    for (let at = node; at !== this.#root; at = at.parent) {
      if (at.parent === undefined) throw new FuseError('ENOENT')
      names.push(at.name)
    }
    return `/${names.reverse().join('/')}`
  }

  /** Returns the path of a node, or the one that it had before it was removed. */
  lastPathOf(node: PathNode): string {
    return node.parent === undefined && node !== this.#root ? node.lastPath : this.pathOf(node)
  }

  /** Returns the path of a name in the folder of a number. */
  below(parent: number, name: string): string {
    const path = this.pathOf(this.get(parent))
    return path === '/' ? `/${name}` : `${path}/${name}`
  }

  /** Returns the node of a name, if it is known. */
  find(parent: number, name: string): PathNode | undefined {
    return this.#nodes.get(parent)?.children.get(name)
  }

  /** Counts a lookup of a name. A file of another type gets another node. */
  look(parent: number, name: string, type: number): PathNode {
    const folder = this.get(parent)
    const known = folder.children.get(name)
    if (known !== undefined && known.type !== type) this.#detach(known)
    const node = folder.children.get(name) ?? this.#make(folder, name, type)
    node.lookups += 1
    return node
  }

  forget(ino: number, lookups: number): void {
    const node = this.#nodes.get(ino)
    if (node === undefined) return
    node.lookups -= lookups
    this.#dropIfUnused(node)
  }

  /** Counts an open (1) or a close (-1) of a file. */
  opened(node: PathNode, count: 1 | -1): void {
    node.opens += count
    this.#dropIfUnused(node)
  }

  /** Removes a name. Its file is gone, or open without one. */
  remove(parent: number, name: string): void {
    const node = this.find(parent, name)
    if (node !== undefined) this.#detach(node)
  }

  /** Moves a name, replacing the one that was there. */
  move(from: number, fromName: string, to: number, toName: string): void {
    const node = this.find(from, fromName)
    this.remove(to, toName)
    if (node === undefined) return
    const folder = this.get(to)
    node.parent?.children.delete(node.name)
    node.parent = folder
    node.name = toName
    folder.children.set(toName, node)
  }

  #make(parent: PathNode | undefined, name: string, type: number): PathNode {
    const ino = this.#nextIno++
    const node: PathNode = {
      ...{ ino, parent, name, type, lastPath: '' },
      ...{ lookups: 0, opens: 0, children: new Map<string, PathNode>() },
    }
    this.#nodes.set(ino, node)
    parent?.children.set(name, node)
    return node
  }

  #detach(node: PathNode): void {
    const { parent } = node
    node.lastPath = this.lastPathOf(node)
    if (parent?.children.get(node.name) === node) parent.children.delete(node.name)
    node.parent = undefined
    if (parent !== undefined) this.#dropIfUnused(parent)
    this.#dropIfUnused(node)
  }

  /** Drops a node when it is unused. A folder stays as long as a node below it is known. */
  #dropIfUnused(node: PathNode): void {
    if (node.lookups > 0 || node.opens > 0 || node.children.size > 0) return
    if (!this.#nodes.delete(node.ino)) return
    const { parent } = node
    if (parent === undefined) return
    if (parent.children.get(node.name) === node) parent.children.delete(node.name)
    this.#dropIfUnused(parent)
  }
}
