/** Walks through the folders of a user: every name of a file with its path. */
import { folderDirentType, rootIno } from '../../wire/records.js'
import { Descent } from '../namespace/descent.js'
import type { Listing } from '../namespace/lookup.js'
import type { Namespace } from '../namespace/namespace.js'

export interface FileWithName extends Pick<Listing['entries'][number], 'ino' | 'type' | 'node'> {
  /** From the root, with a slash in front. */
  readonly path: string
}

/** Yields all that has a name and is no folder; a file with several names comes under each. */
export async function* filesOf(namespace: Namespace): AsyncGenerator<FileWithName, void, void> {
  const folders = [{ ino: rootIno, path: '', way: new Descent(rootIno) }]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const { ino: parent, way } = folder
    for await (const { entries } of namespace.names.pages(parent)) {
      for (const { name, ino, type, node } of entries) {
        const path = `${folder.path}/${name}`
        if (type !== folderDirentType) yield { path, ino, type, node }
        // A folder without its node has its place elsewhere, or is gone.
        else if (node !== undefined) folders.push({ ino, path, way: way.into(ino) })
      }
    }
  }
}
