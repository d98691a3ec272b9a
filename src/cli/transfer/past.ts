/** GET --at: fetches files as they were at a time, from what the trash keeps of them. */
import { msOfTime } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { fileType, type Inode, typeOf } from '../../wire/records.js'
import { writeLocalFile } from '../local/local-file.js'
import { type FileHistory, historyOf } from '../paths/kept-files.js'
import { forEach, type Session, type Status } from '../session.js'
import { isoTime } from '../terminal/format.js'
import { assertMayBeFile, type Step } from './targets.js'

const permissionsKept = 0o1777

/** Why there are no folders of the past, and what there is instead. */
export const noFoldersAt =
  '--at fetches files, not folders: renames are not recorded, so nobody knows what a folder held then. ' +
  '"dfc get FILE --at TIME" fetches one file of it, also one that was removed; ' +
  '"dfc trash restore FOLDER --to NAME" brings back what was removed in it'

/** Fetches each source as it was at `atMs`, in ms since 1970. */
export function getPast(session: Session, steps: readonly Step[], atMs: number): Promise<Status> {
  const targetOf = new Map(steps.map(({ source, target }) => [source, target]))
  return forEach(session, [...targetOf.keys()], async (source) => {
    const { content } = session.client
    const inode = inodeAt(await historyOf(session, source), atMs)
    if (typeOf(inode.mode) !== fileType.file) {
      throw new DfsError('unsupported', 'neither a file nor a folder: --at fetches files')
    }
    const target = targetOf.get(source) ?? source
    assertMayBeFile(target, false)
    await content.assertReadable(inode)
    const attributes = { mode: inode.mode & permissionsKept, mtime: inode.mtime }
    const data = (from: number) => content.streamData(inode, from)
    const { interrupted, temporaries } = session
    await writeLocalFile(target, { size: inode.size, data, interrupted }, attributes, temporaries)
  })
}

/** Returns the inode of a file at a time. Throws `notFound` when it was not there then, or that is not kept, and `isDirectory`. */
export function inodeAt({ versions, now }: FileHistory, atMs: number): Inode {
  const later = versions.find(({ sinceMs }) => sinceMs > atMs)
  const inode = later?.node.inode ?? now?.inode
  if (inode === undefined) {
    const removedMs = versions.at(-1)?.sinceMs ?? 0
    const when = new Date(removedMs).toISOString()
    throw new DfsError('notFound', `there was no such file then: it was removed at ${when}`)
  }
  if (typeOf(inode.mode) === fileType.folder) throw new DfsError('isDirectory', noFoldersAt)
  if (msOfTime(inode.btime) > atMs) {
    const begun = isoTime(inode.btime)
    throw new DfsError(
      'notFound',
      `there was no such file then, or it is not kept: what is known begins at ${begun}`,
    )
  }
  // Programs can set an mtime that is still to come, but no ctime.
  if (Math.min(msOfTime(inode.mtime), msOfTime(inode.ctime)) > atMs) {
    throw new DfsError(
      'notFound',
      `what it was then is not kept, the next that is kept is of ${isoTime(inode.mtime)}: "dfc versions" lists them`,
    )
  }
  return inode
}
