/** Makes folders on the servers, one or all that are missing on a path. */
import type { Namespace } from '../../dfc/namespace/namespace.js'
import { DfsError, isError } from '../../errors.js'
import { fileType } from '../../wire/records.js'
import { isFolder, namesOf, placeOf } from '../paths/remote-path.js'
import { ownIdentity } from './owner.js'

/** Mode and owner of a folder that is to be made. */
interface FolderAttributes {
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** Makes every missing folder on the way, following links. */
export async function makeParents(namespace: Namespace, path: string): Promise<void> {
  const names = namesOf(path)
  for (let count = 1; count <= names.length; count += 1) {
    const way = names.slice(0, count).join('/')
    const { parent, name, node } = await placeOf(namespace, way, 'followLink')
    if (node === undefined) {
      await makeFolder(namespace, parent, name).catch((error: unknown) => {
        if (!isError(error, 'exists')) throw error
      })
    } else if (!isFolder(node)) {
      throw new DfsError(count === names.length ? 'exists' : 'notDirectory')
    }
  }
}

/** Makes a folder, of this user where it is not said otherwise. Throws `exists`. */
export async function makeFolder(
  namespace: Namespace,
  parent: number,
  name: string,
  attributes: FolderAttributes = ownAttributes(),
): Promise<void> {
  await namespace.create(parent, name, attributes)
}

function ownAttributes(): FolderAttributes {
  return { mode: fileType.folder | (0o777 & ~process.umask()), ...ownIdentity() }
}
