/** Finds what the trash keeps by the paths of the files: removed files and folders, and the versions of a file. */

import type { Node } from '../../dfc/namespace/cache/node.js'
import type { KeptFile } from '../../dfc/namespace/trash.js'
import { DfsError, isError } from '../../errors.js'
import type { Session } from '../session.js'
import { namesOf, placeOf } from './remote-path.js'

/** Returns a path in its only form: from the root, `/` for the root itself. */
export function absolute(path: string): string {
  return `/${namesOf(path).join('/')}`
}

/** The path that a kept file had; undefined where that is not known. */
export function pathOfKept({ folder, name }: KeptFile): string | undefined {
  return folder === null || name === '' ? undefined : `${folder}/${name}`
}

/** Returns the text by which a kept file is shown. */
export function shownAs(kept: KeptFile): string {
  return pathOfKept(kept) ?? (kept.name === '' ? `file ${kept.ino}` : `.../${kept.name}`)
}

/** Whether the path is that of `folder` or of something in it. */
export function isWithin(path: string | undefined, folder: string): boolean {
  if (path === undefined) return folder === '/'
  return folder === '/' || path === folder || path.startsWith(`${folder}/`)
}

/** Returns all that is kept, the oldest first. Throws when the user interrupts. */
export async function keptFiles({ client, interrupted }: Session): Promise<KeptFile[]> {
  const all: KeptFile[] = []
  for await (const kept of client.namespace.trash.files()) {
    interrupted.throwIfAborted()
    all.push(kept)
  }
  return all
}

/**
 * Returns the removed files that `name` means: the one with this id, or the last one with this path, or of each path in the
 * folder of this name the last one. Throws `notFound`.
 */
export function removedBy(all: readonly KeptFile[], name: string): readonly KeptFile[] {
  const byId = all.filter(({ id }) => id === name)
  if (byId.length > 0) return byId
  const path = absolute(name)
  const last = new Map<string, KeptFile>()
  for (const kept of all) {
    const own = kept.kind === 'removed' ? pathOfKept(kept) : undefined
    if (own !== undefined && isWithin(own, path)) last.set(own, kept)
  }
  const exact = last.get(path)
  if (exact !== undefined) return [exact]
  if (last.size === 0) {
    throw new DfsError('notFound', 'the trash has no such file: "dfc trash list" shows what it has')
  }
  return [...last.values()]
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
  const all = await keptFiles(session)
  const isRemovedHere = (kept: KeptFile): boolean =>
    kept.kind === 'removed' && pathOfKept(kept) === wanted
  const numbers = new Set(all.filter(isRemovedHere).map(({ ino }) => ino))
  if (now !== undefined) numbers.add(now.ino)
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
