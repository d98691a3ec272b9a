/** Plans the removal of a file's name, with which the inode goes if it is the last one, and of an empty folder. */
import assert from 'node:assert/strict'
import { DfsError } from '../../../errors.js'
import { fileType, typeOf } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { IsOpen } from '../open-orphans.js'
import { keepRemoved } from './keep.js'
import type { Sources } from './sources.js'
import type { TransactionBuilder } from './transaction-builder.js'

/** A name that a file loses. */
export interface LostName {
  readonly parent: number
  readonly name: string
  readonly isOpen: IsOpen
}

/**
 * Removes one name from the file. The inode is deleted with its last one, unless `isOpen` says that it is in use:
 * then it stays, with nlink 0. The trash keeps what the file was, if there is one.
 */
export async function loseName(
  change: TransactionBuilder,
  sources: Sources,
  node: Node,
  { isOpen, ...place }: LostName,
): Promise<void> {
  const { clock, orphans } = sources
  const { ino, inode } = node
  assert(typeOf(inode.mode) !== fileType.folder, 'a folder goes with its only name')
  const nlink = Math.max(0, inode.nlink - 1)
  const left = { ...inode, nlink, ctime: clock.time() }
  if (nlink === 0) await keepRemoved(change, sources, node, place)
  if (nlink === 0 && !isOpen(ino)) {
    change.deleteNode(ino, left)
    return
  }
  if (nlink === 0) change.afterwards(() => orphans.add(ino))
  change.writeNode(ino, left)
}

/** Takes its name from what another inode replaces. Throws `isDirectory` for a folder. */
export async function loseReplaced(
  change: TransactionBuilder,
  sources: Sources,
  node: Node,
  place: Omit<LostName, 'isOpen'>,
): Promise<void> {
  if (typeOf(node.inode.mode) === fileType.folder) throw new DfsError('isDirectory')
  change.requireNode(node)
  // Whether it is open elsewhere is not known: its mount finds it gone, as after any other replacement.
  await loseName(change, sources, node, { ...place, isOpen: () => false })
}

/** Removes a folder, which has to be empty, whose name goes as well. The trash keeps it, if there is one. */
export async function loseFolder(
  change: TransactionBuilder,
  sources: Sources,
  node: Node,
  { parent, name }: Omit<LostName, 'isOpen'>,
): Promise<void> {
  change.requireEmpty(node.ino)
  await keepRemoved(change, sources, node, { parent, name })
  change.deleteNode(node.ino, node.inode)
}
