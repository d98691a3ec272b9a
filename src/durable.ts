/**
 * Small files that must be whole or absent after a power cut: written beside their place, synced,
 * renamed over it, and the folder synced, because a rename is only an entry in the folder.
 */
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'

interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Replaces `file` by `content`. On failure the old content is left as it was. */
export function writeDurably(file: string, content: string, mode: number, owner?: Owner): void {
  put(file, content, mode, renameSync, owner)
}

/** Makes `file` with `content`. False when there is such a file already, which is left as it is. */
export function createDurably(file: string, content: string, mode: number): boolean {
  try {
    put(file, content, mode, linkSync)
    return true
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown
    return false
  }
}

/** Writes a file under another name, and has `place` give it its own. */
function put(
  file: string,
  content: string,
  mode: number,
  place: (temporary: string, file: string) => void,
  owner?: Owner,
): void {
  const temporary = `${file}.${process.pid}.tmp`
  // A process that was killed may have left it.
  rmSync(temporary, { force: true })
  try {
    const descriptor = openSync(temporary, 'wx', mode)
    try {
      // The mode given to open is cut by the umask.
      fchmodSync(descriptor, mode)
      const whose = owner ?? ownerOfFolder(file)
      if (whose !== undefined) fchownSync(descriptor, whose.uid, whose.gid)
      writeFileSync(descriptor, content)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    place(temporary, file)
  } finally {
    rmSync(temporary, { force: true })
  }
  syncFolder(dirname(file))
}

/** Returns the owner of the folder of `file`, to whom root leaves what it makes there, such as a key for a service. */
function ownerOfFolder(file: string): Owner | undefined {
  return process.getuid?.() === 0 ? statSync(dirname(file)) : undefined
}

/** Whether there is such a file or folder. Throws what the disk says when it cannot tell. */
export function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

/**
 * Makes `folder` for its owner only, and those above it so that others may pass: the owner may become another one, such
 * as the user of a service. Harmless when it is there. Node's recursive mkdir would try for ever where a file system
 * answers ENOENT to every mkdir, as /proc does.
 */
export function makeFolder(folder: string): void {
  if (exists(folder)) return
  makeFoldersAbove(folder)
  mkdirSync(folder, { mode: 0o700 })
}

function makeFoldersAbove(folder: string): void {
  const above = dirname(folder)
  if (exists(above)) return
  makeFoldersAbove(above)
  mkdirSync(above, { mode: 0o755 })
  // The mode given to mkdir is cut by the umask.
  chmodSync(above, 0o755)
}

/** Makes the entries of `folder` survive a power cut. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Parses the JSON in `file`: null when there is no such file, undefined when it is not JSON. Throws what the disk says. */
export function readJson(file: string): unknown {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw thrown
  }
  try {
    // A file that says null is as damaged as one that says nothing.
    return JSON.parse(text) ?? undefined
  } catch {
    return undefined
  }
}
