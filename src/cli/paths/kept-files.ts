/** Finds what the trash keeps by the paths of the files: removed files and folders, and the versions of a file. */

import type { Node } from '../../dfc/namespace/cache/node.js'
import { formerNumbers } from '../../dfc/namespace/kept.js'
import type { KeptFile } from '../../dfc/namespace/trash.js'
import { DfsError, isError } from '../../errors.js'
import type { Session } from '../session.js'
import { isFolder, namesOf, placeOf } from './remote-path.js'

/** Returns a path in its only form: from the root, `/` for the root itself. */
export function absolute(path: string): string {
  return `/${namesOf(path).join('/')}`
}

/** The path that a kept file had; undefined where that is not known. */
export function pathOfKept({ folder, name }: KeptFile): string | undefined {
  return folder === null || name === '' ? undefined : `${folder}/${name}`
}

/** Returns the text by which a kept file or folder is shown. */
export function shownAs(kept: KeptFile): string {
  const path = pathOfKept(kept) ?? (kept.name === '' ? `file ${kept.ino}` : `.../${kept.name}`)
  return isFolder(kept.node) ? `${path}/` : path
}

/** Whether the path is that of `folder` or of something in it. */
export function isWithin(path: string | undefined, folder: string): boolean {
  if (path === undefined) return folder === '/'
  return folder === '/' || path === folder || path.startsWith(`${folder}/`)
}

/** Yields all that is kept, the oldest first. Throws when the user interrupts. */
export async function* kept({ client, interrupted }: Session): AsyncGenerator<KeptFile> {
  for await (const one of client.namespace.trash.files()) {
    interrupted.throwIfAborted()
    yield one
  }
}

/** Returns those that are kept and `isWanted`, the oldest first: all of them may be more than memory should hold. */
export async function keptFiles(
  session: Session,
  isWanted: (kept: KeptFile) => boolean,
): Promise<KeptFile[]> {
  const wanted: KeptFile[] = []
  for await (const one of kept(session)) if (isWanted(one)) wanted.push(one)
  return wanted
}

/** Whether `name` can mean what is kept: by its id, or as a removed file with this path, or in the folder of this path. */
export function isMeant(kept: KeptFile, name: string): boolean {
  if (name === '') return false
  return kept.id === name || (kept.kind === 'removed' && isWithin(pathOfKept(kept), absolute(name)))
}

/** Returns everything that the names mean, and the removed folders on the way to it, the oldest first. */
export async function restorable(
  session: Session,
  names: readonly string[],
): Promise<readonly KeptFile[]> {
  const paths = names.map(absolute)
  return keptFiles(session, (one) => {
    const path = pathOfKept(one)
    // A folder is removed after what was in it.
    if (names.includes(one.id) && path !== undefined) paths.push(path)
    if (names.some((name) => isMeant(one, name))) return true
    return path !== undefined && isFolder(one.node) && paths.some((below) => isWithin(below, path))
  })
}

/** Removed folders by the paths that they had, the oldest of a path first. */
export type KeptFolders = ReadonlyMap<string, readonly KeptFile[]>

/** Returns the removed folders among these, by path. */
export function foldersOf(all: readonly KeptFile[]): KeptFolders {
  return Map.groupBy(
    all.filter(({ node }) => isFolder(node)),
    (kept) => pathOfKept(kept) ?? '',
  )
}

/** Returns the folders that something was in: with each of their paths the one that was removed first after it. */
export function foldersAbove(folders: KeptFolders, kept: KeptFile): readonly KeptFile[] {
  const names = namesOf(pathOfKept(kept) ?? '')
  return names.slice(1).flatMap((_, up) => {
    const path = `/${names.slice(0, up + 1).join('/')}`
    return folders.get(path)?.find(({ sinceMs }) => sinceMs >= kept.sinceMs) ?? []
  })
}

/**
 * Returns what `name` means of what was removed: the file or folder with this id, or the last file with this path, or the
 * last folder with this path and of each path in it the last file or folder. Throws `notFound`.
 */
export function removedBy(all: readonly KeptFile[], name: string): readonly KeptFile[] {
  const meant = all.filter((kept) => isMeant(kept, name))
  if (meant.length === 0) throw notKept()
  const byId = meant.find(({ id }) => id === name)
  if (byId !== undefined) return [byId]
  const last = new Map(meant.map((kept) => [pathOfKept(kept) ?? kept.id, kept]))
  const exact = last.get(absolute(name))
  return exact === undefined || isFolder(exact.node) ? [...last.values()] : [exact]
}

/**
 * Returns everything that `name` means, to be removed for good: what has this id, or all that had this path or one in the
 * folder of this path, with the versions of these files. Throws `notFound`.
 */
export function everythingBy(all: readonly KeptFile[], name: string): readonly KeptFile[] {
  const meant = all.filter((kept) => isMeant(kept, name))
  if (meant.length === 0) throw notKept()
  const byId = meant.find(({ id }) => id === name)
  if (byId !== undefined) return [byId]
  const numbers = new Set(meant.flatMap(numbersOf))
  const versions = all.filter(({ kind, ino }) => kind === 'replaced' && numbers.has(ino))
  return [...meant, ...versions]
}

/** All numbers that a removed file had: its versions are kept under that of their time. */
function numbersOf({ ino, node }: KeptFile): number[] {
  return [ino, ...formerNumbers(node.inode)]
}

function notKept(): DfsError {
  return new DfsError('notFound', 'the trash has no such file: "dfc trash list" shows what it has')
}

/** The contents that are known of a file: the versions that are kept, the oldest first, and the present one. */
export interface FileHistory {
  readonly versions: readonly KeptFile[]
  /** Undefined when there is no such file now. */
  readonly now: Node | undefined
}

/**
 * Finds what a file was before: under its number, and under its path where programs replace it by another one when they
 * save. Throws `notFound` when there is neither a file nor a version.
 */
export async function historyOf(session: Session, path: string): Promise<FileHistory> {
  const now = await nodeAt(session, path)
  const wanted = absolute(path)
  const isRemovedHere = (kept: KeptFile): boolean =>
    kept.kind === 'removed' && pathOfKept(kept) === wanted
  const all = await keptFiles(session, (kept) => kept.kind === 'replaced' || isRemovedHere(kept))
  const numbers = new Set(all.filter(isRemovedHere).flatMap(numbersOf))
  if (now !== undefined) for (const ino of [now.ino, ...formerNumbers(now.inode)]) numbers.add(ino)
  const versions = all.filter(
    (kept) => isRemovedHere(kept) || (kept.kind === 'replaced' && numbers.has(kept.ino)),
  )
  if (now === undefined && versions.length === 0) throw new DfsError('notFound')
  return { versions, now }
}

async function nodeAt({ client }: Session, path: string): Promise<Node | undefined> {
  try {
    return (await placeOf(client.namespace, path, 'followLink')).node
  } catch (error) {
    // Its folder may be gone as well.
    if (isError(error, 'notFound', 'notDirectory')) return undefined
    throw error
  }
}
