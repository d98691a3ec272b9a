/**
 * Files that hold a password, and who can read them besides their owner. The rule is that of ssh(1) for its keys: a
 * file of one's own is for oneself alone, and one of somebody else, such as root, is not for everybody.
 */
import {
  existsSync,
  linkSync,
  mkdirSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { sentenceOf } from './error-message.js'
import { DfsError } from './errors.js'
import { warning } from './log.js'
import { shellWord } from './shell-word.js'

/** Files of which was said that only their folders keep others away. A mount reads its configuration again and again. */
const warnedOf = new Set<string>()

/**
 * Throws `configuration` when others can read or change `file`, which holds a password in clear. Where it is a folder
 * above that keeps them away, and not the mode of the file, that is only said, once.
 */
export function assertPrivate(file: string): void {
  const status = statSync(file)
  if (!isExposed(status)) return
  if (!isReachable(file)) {
    if (warnedOf.has(file)) return
    warnedOf.add(file)
    warning(
      `${file}: holds a password, and only its folder keeps others away: chmod 600 ${shellWord(file)}`,
    )
    return
  }
  const why = `holds a password, and others can read it (mode ${modeOf(status)})`
  throw new DfsError('configuration', `${file}: ${why}: chmod 600 ${shellWord(file)}`)
}

/**
 * Writes a file that only its owner can read, whole or not at all. Throws `exists` when there is one already, unless it
 * is to be replaced: then a symbolic link stays, and what it leads to is replaced. Only a file is.
 */
export function writePrivate(file: string, text: string, replaces: boolean): void {
  assertReplaceable(file)
  const place = replaces && existsSync(file) ? realpathSync(file) : file
  const temporary = `${place}.${process.pid}.tmp`
  try {
    rmSync(temporary, { force: true })
    writeFileSync(temporary, text, { mode: 0o600, flag: 'wx', flush: true })
    if (replaces) renameSync(temporary, place)
    else linkSync(temporary, place)
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    throw new DfsError(
      isThere ? 'exists' : 'configuration',
      `${file}: cannot write it: ${sentenceOf(cause)}`,
      {
        cause,
      },
    )
  } finally {
    rmSync(temporary, { force: true })
  }
}

/**
 * Makes `folder` and those above it for their owner alone; harmless when it is there. Node's recursive mkdir would say
 * ENOENT for what a file system refuses for other reasons, such as that it is read-only.
 */
export function makePrivateFolder(folder: string): void {
  if (existsSync(folder)) return
  makePrivateFolder(dirname(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    // Another process may have made it meanwhile. A dead mount is there as well.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** Throws `exists` when `file` is something that a file must not take the place of, such as /dev/null. */
export function assertReplaceable(file: string): void {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() ?? true) return
  throw new DfsError('exists', `${file} is there already and is no file: choose another one`)
}

/** The mode of `file` when everybody can read it, such as "0644". */
export function publicModeOf(file: string): string | undefined {
  const status = statSync(file)
  return status.isFile() && (status.mode & 0o004) !== 0 ? modeOf(status) : undefined
}

/** A pipe, such as that of a shell's <(...), is nobody else's. */
function isExposed(status: Stats): boolean {
  const isOwn = status.uid === process.getuid?.()
  return status.isFile() && (status.mode & (isOwn ? 0o077 : 0o006)) !== 0
}

/** Whether somebody besides their owners can enter all folders above `file`. */
function isReachable(file: string): boolean {
  for (let folder = dirname(realpathSync(file)); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o011) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

function modeOf({ mode }: Stats): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}
