/**
 * Paths of the distributed file system as users type them: `a/b`, `/a/b` and `./a/b/` are equal. `..` is removed
 * together with the name before it; a relative symbolic link on the way is followed, an absolute one leads out of the
 * file system and is refused.
 */

import type { Node } from '../../dfc/namespace/cache/node.js'
import type { Namespace } from '../../dfc/namespace/namespace.js'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { fileType, rootIno, typeOf } from '../../wire/records.js'

/** A path's target: the folder, the name in it, and the node, if it exists. */
export interface Place {
  readonly parent: number
  /** Empty for the root, which has no name. */
  readonly name: string
  readonly node: Node | undefined
}

/** Most links followed in one path, as on Linux (path_resolution(7)). */
const linksFollowedMax = 40

/** The names on the way to `path` from the root; none for the root itself. */
export function namesOf(path: string): string[] {
  const names: string[] = []
  for (const name of path.split('/')) {
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  }
  return names
}

/** Finds the node at `path`, which may be a symbolic link. Throws `notFound`. */
export async function findPath(namespace: Namespace, path: string): Promise<Node> {
  const { node } = await placeOf(namespace, path, 'keepLink')
  if (node === undefined) throw new DfsError('notFound')
  return node
}

/** Finds the node at `path`, behind a symbolic link at its end. Throws `notFound`. */
export async function followPath(namespace: Namespace, path: string): Promise<Node> {
  const { node } = await placeOf(namespace, path, 'followLink')
  if (node === undefined) throw new DfsError('notFound')
  return node
}

/** The kind of a target, behind symbolic links. An error names the target. */
export async function remoteKind(
  namespace: Namespace,
  path: string,
): Promise<'folder' | 'other' | 'absent'> {
  const { node } = await placeOf(namespace, path, 'followLink').catch((thrown: unknown) => {
    const cause = asDfsError(thrown)
    throw new DfsError(cause.code, `${path}: ${cause.message}`, { cause })
  })
  if (node === undefined) return 'absent'
  return isFolder(node) ? 'folder' : 'other'
}

/**
 * Finds the place that `path` names. Its last name need not exist, all others must. Throws `notFound`, `notDirectory`
 * or `loop`.
 */
export async function placeOf(
  namespace: Namespace,
  path: string,
  lastLink: 'keepLink' | 'followLink',
): Promise<Place> {
  const names = namesOf(path)
  const place =
    (await placeWithoutLinks(namespace, names)) ?? (await walk(namespace, names, lastLink))
  const linked = place.node !== undefined && isLink(place.node)
  return linked && lastLink === 'followLink' ? walk(namespace, names, lastLink) : place
}

/** Finds a place in two round trips; undefined when something on the way is not a folder and may be a link. */
async function placeWithoutLinks(
  namespace: Namespace,
  names: readonly string[],
): Promise<Place | undefined> {
  const name = names.at(-1)
  if (name === undefined) return rootPlace(namespace)
  try {
    const folder = await namespace.names.walk(names.slice(0, -1))
    if (isLink(folder)) return undefined
    assertFolder(folder)
    return { parent: folder.ino, name, node: await lookup(namespace, folder.ino, name) }
  } catch (error) {
    if (isError(error, 'notDirectory')) return undefined
    throw error
  }
}

/** Finds a place name by name, following links. */
async function walk(
  namespace: Namespace,
  names: readonly string[],
  lastLink: 'keepLink' | 'followLink',
): Promise<Place> {
  const above: Place[] = []
  const ahead = [...names]
  let place = await rootPlace(namespace)
  let followed = 0
  for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
    if (name === '..') {
      place = above.pop() ?? place
      continue
    }
    if (place.node === undefined) throw new DfsError('notFound')
    assertFolder(place.node)
    const parent = place.node.ino
    const node = await lookup(namespace, parent, name)
    if (node !== undefined && isLink(node) && (ahead.length > 0 || lastLink === 'followLink')) {
      followed += 1
      if (followed > linksFollowedMax) throw new DfsError('loop')
      ahead.unshift(...namesOfLink(node.inode.target))
      continue
    }
    above.push(place)
    place = { parent, name, node }
  }
  return place
}

function namesOfLink(target: string): string[] {
  if (target.startsWith('/')) {
    throw new DfsError('notFound', `its symbolic link points out of the file system: ${target}`)
  }
  return target.split('/').filter((name) => name !== '' && name !== '.')
}

async function rootPlace(namespace: Namespace): Promise<Place> {
  return { parent: rootIno, name: '', node: await namespace.names.node(rootIno) }
}

async function lookup(
  namespace: Namespace,
  parent: number,
  name: string,
): Promise<Node | undefined> {
  try {
    return await namespace.names.lookup(parent, name)
  } catch (error) {
    if (isError(error, 'notFound')) return undefined
    throw error
  }
}

function isLink(node: Node): boolean {
  return typeOf(node.inode.mode) === fileType.symlink
}

export function isFolder(node: Node): boolean {
  return typeOf(node.inode.mode) === fileType.folder
}

function assertFolder(node: Node): void {
  if (!isFolder(node)) throw new DfsError('notDirectory')
}
