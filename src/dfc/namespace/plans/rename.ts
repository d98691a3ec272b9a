/**
 * Renames a file or folder: rename(2) and renameat2(2). A folder that changes its parent relies on all
 * folders above it, so that it cannot move into itself.
 */
import type { Time } from '../../../clock.js'
import { DfsError } from '../../../errors.js'
import { fileType, typeOf } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { EntryView } from '../cache/node-cache.js'
import type { Planned } from '../changes.js'
import type { FoundEntry } from '../lookup.js'
import type { IsOpen } from '../open-orphans.js'
import { type LostName, loseFolder, loseName } from './lost-name.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

export type RenameHow = 'replace' | 'noReplace' | 'exchange'

export interface Renaming {
  readonly fromParent: number
  readonly fromName: string
  readonly toParent: number
  readonly toName: string
  readonly how: RenameHow
  readonly isOpen: IsOpen
}

export interface Renamed {
  /** The file that lost its name, if one did. */
  readonly replaced: Node | undefined
}

/** The entries and nodes behind the two names of a rename, before it. */
interface Sides {
  readonly source: FoundEntry
  readonly moved: Node
  readonly place: EntryView
  /** The file or folder that has the new name before the rename, if there is one. */
  readonly target: Node | undefined
}

/**
 * Plans the rename. Throws `notFound`, `exists`, `notDirectory`, `isDirectory`, `invalid` for a folder that would
 * move into itself; the servers refuse to replace a folder that is not empty.
 */
export async function planRename(
  sources: Sources,
  renaming: Renaming,
  fresh: boolean,
): Promise<Planned<Renamed>> {
  const sides = await look(sources, renaming, fresh)
  // Two names of one file: POSIX has rename do nothing.
  if (sides === undefined) return { body: undefined, result: { replaced: undefined } }
  const { source, moved, place, target } = sides
  const { fromParent, fromName, toParent, toName, how, isOpen } = renaming
  const ancestors = await assertMovable(sources, sides, renaming)
  const now = sources.clock.time()
  const change = new TransactionBuilder(sources.cache)
  change.requireEntry(fromParent, fromName, source)
  change.requireEntry(toParent, toName, place)
  change.requireNode(await sources.names.folderForChange(toParent, fresh))
  for (const ancestor of ancestors) change.requireNode(ancestor)
  change.writeEntry(toParent, toName, source)
  relocate(change, moved, toParent, now)
  if (how === 'exchange' && target !== undefined) {
    change.requireNode(await sources.names.folderForChange(fromParent, fresh))
    change.writeEntry(fromParent, fromName, { ino: target.ino, type: place.type })
    relocate(change, target, fromParent, now)
  } else {
    change.writeEntry(fromParent, fromName, null)
    if (target !== undefined) {
      const lost = { parent: toParent, name: toName, isOpen }
      await displace(change, sources, target, lost)
    }
  }
  const isReplaced = how !== 'exchange' && target !== undefined && !isFolder(target)
  return change.plan({}, () => ({
    replaced: isReplaced ? change.outcome(target.ino) : undefined,
  }))
}

/** Looks up both names; undefined when both refer to one file. */
async function look(
  { names }: Sources,
  { fromParent, fromName, toParent, toName, how }: Renaming,
  fresh: boolean,
): Promise<Sides | undefined> {
  const source = await names.existingForChange(fromParent, fromName, fresh)
  // Looked up twice, the name could exist the first time and be gone the second.
  const isSame = fromParent === toParent && fromName === toName
  const place = isSame ? source : await names.entryForChange(toParent, toName, fresh)
  if (how === 'noReplace' && place.ino !== null) throw new DfsError('exists')
  if (how === 'exchange' && place.ino === null) throw new DfsError('notFound')
  if (place.ino === source.ino) return undefined
  const moved = await names.nodeForChange(source.ino, fresh)
  const target = place.ino === null ? undefined : await names.nodeForChange(place.ino, fresh)
  return { source, moved, place, target }
}

/**
 * The rules of rename(2) about kinds and loops. A folder that changes its parent must not move into
 * itself: the chain of folders above the target, which the commit depends on, is returned.
 */
async function assertMovable(
  { names }: Sources,
  { moved, target }: Sides,
  { fromParent, toParent, how }: Renaming,
): Promise<Node[]> {
  const movesFolder = isFolder(moved)
  const meetsFolder = target !== undefined && isFolder(target)
  if (target !== undefined && how === 'replace') {
    if (movesFolder && !meetsFolder) throw new DfsError('notDirectory')
    if (!movesFolder && meetsFolder) throw new DfsError('isDirectory')
  }
  if (fromParent === toParent) return []
  const ancestors = movesFolder ? await names.ancestors(toParent, moved.ino) : []
  if (how !== 'exchange' || !meetsFolder) return ancestors
  return [...ancestors, ...(await names.ancestors(fromParent, target.ino))]
}

function relocate(change: TransactionBuilder, node: Node, parent: number, now: Time): void {
  change.requireNode(node)
  const inode = { ...node.inode, ctime: now, parent: isFolder(node) ? parent : 0 }
  change.writeNode(node.ino, inode, node.folder)
}

/** Gives the name of `node` to another inode; a folder must be empty. */
async function displace(
  change: TransactionBuilder,
  sources: Sources,
  node: Node,
  lost: LostName,
): Promise<void> {
  change.requireNode(node)
  if (isFolder(node)) {
    await loseFolder(change, sources, node, lost)
  } else {
    await loseName(change, sources, node, lost)
  }
}

function isFolder({ inode }: Node): boolean {
  return typeOf(inode.mode) === fileType.folder
}
