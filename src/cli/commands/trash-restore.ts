/** TRASH restore: what the names of the user mean, and where each of it goes. */
import type { KeptFile } from '../../dfc/namespace/trash.js'
import { DfsError, isError } from '../../errors.js'
import {
  absolute,
  foldersAbove,
  foldersOf,
  pathOfKept,
  removedBy,
  restorable,
} from '../paths/kept-files.js'
import { isFolder, namesOf, placeOf } from '../paths/remote-path.js'
import { forEach, type Session, type Status } from '../session.js'
import { Restoring } from '../transfer/restoring.js'
import type { Options } from './command.js'

/** Restores the files and folders that the names mean. */
export async function restore(
  session: Session,
  names: readonly string[],
  options: Options,
): Promise<Status> {
  const to = options.to === undefined ? undefined : String(options.to)
  if (to !== undefined && names.length > 1) {
    throw new DfsError('invalid', 'trash restore: --to goes with one name')
  }
  const all = await restorable(session, names)
  const folders = foldersOf(all)
  const restoring = new Restoring(session, options.force === true)
  const status = await forEach(session, names, async (name) => {
    const meant = removedBy(all, name)
    const base = to === undefined ? undefined : await baseOf(session, meant, name, to)
    const placed = meant.map((kept) => ({ kept, target: targetOf(kept, name, base) }))
    for (const { kept, target } of placed) {
      if (isFolder(kept.node)) restoring.expect(kept, target)
    }
    for (const { kept } of base === undefined ? placed : []) {
      for (const folder of foldersAbove(folders, kept)) {
        restoring.expect(folder, pathOfKept(folder) ?? '')
      }
    }
    for (const { kept, target } of placed) await restoring.begin(kept, target, meant.length > 1)
  })
  return (await restoring.end()) ? status : 1
}

/** The path that what `name` means gets with `--to`: in that folder if there is one, as with cp(1). */
async function baseOf(
  { client }: Session,
  [first]: readonly KeptFile[],
  name: string,
  to: string,
): Promise<string> {
  const own = first?.id === name ? first.name || first.id : namesOf(name).at(-1)
  if (own === undefined) return absolute(to)
  const place = await placeOf(client.namespace, to, 'followLink').catch((error: unknown) => {
    if (!isError(error, 'notFound')) throw error
  })
  const isInto = to.endsWith('/') || (place?.node !== undefined && isFolder(place.node))
  return absolute(isInto ? `${to}/${own}` : to)
}

/** The path under which something is restored: its own without `base`, the path that `name` gets. */
function targetOf(kept: KeptFile, name: string, base: string | undefined): string {
  const own = pathOfKept(kept)
  if (base === undefined) {
    if (own !== undefined) return own
    const why =
      kept.kind === 'replaced'
        ? 'a version becomes a file of its own: --to says where, with --force also in the place of a file'
        : 'the folder that it was in is not known: --to says where to restore it'
    throw new DfsError('invalid', why)
  }
  if (kept.id === name) return base
  const inside = own === undefined ? kept.id : own.slice(absolute(name).length)
  return absolute(`${base}/${inside}`)
}
