/** The folder to mount on: checks that it is fit for that, and unmounts what is on it. */
import { execFile } from 'node:child_process'
import { readdir, readlink, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { sentenceOf } from '../../error-message.js'
import { DfsError } from '../../errors.js'
import { type MountUser, mountedAt, mountpointsIn, mountType, usersOf } from './mount-table.js'

const run = promisify(execFile)
const helper = 'fusermount3'
const helperTimeoutMs = 30_000

/** Most links followed in one path, as in path_resolution(7). */
const linksMax = 40

/**
 * The path by which the kernel knows `path`. Links are followed, as by mount(8), but no mounted file system is asked
 * for anything: its daemon may be dead, and an automounter would begin to mount.
 */
export async function absoluteMountpoint(path: string): Promise<string> {
  let absolute = resolve(path)
  for (let links = 0; links < linksMax && absolute !== '/'; links += 1) {
    const parent = await realpath(dirname(absolute)).catch(() => dirname(absolute))
    absolute = join(parent, basename(absolute))
    const target = await readlink(absolute).catch(() => undefined)
    if (target === undefined) return absolute
    absolute = resolve(parent, target)
  }
  return absolute
}

/**
 * Checks that `path` can be mounted on: a folder that is empty, unless `mayHide`. Another file system may be mounted
 * there, but no mount of this program, except a dead one, which is removed. Throws `configuration`, or `busy` for
 * what may pass, with a sentence that says what to do.
 */
export async function prepareMountpoint(path: string, mayHide: boolean): Promise<void> {
  const mounted = await mountedAt(path)
  // Looking at an automounter's folder would begin the very mount that it waits for.
  if (mounted?.type === 'autofs') return
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error)
  if (found instanceof Error) {
    const isDead = found.code === 'ENOTCONN' || found.code === 'ECONNABORTED'
    if (isDead && mounted?.type === mountType) {
      await run(helper, ['-u', '-z', '--', path], { timeout: helperTimeoutMs }).catch(
        () => undefined,
      )
      if (await isOurs(path)) {
        const dead = `${path} holds a dead mount that cannot be removed; try umount -l ${path}`
        throw new DfsError('busy', dead)
      }
      return prepareMountpoint(path, mayHide)
    }
    if (found.code === 'ENOENT') throw complaint(`${path} does not exist; create it with mkdir`)
    throw complaint(`${path}: ${sentenceOf(found)}`, found)
  }
  if (!found.isDirectory()) throw complaint(`${path} is not a folder`)
  if (mounted?.type === mountType) {
    throw new DfsError('busy', `${path} is already mounted (${mountType})`)
  }
  if (mayHide) return
  const names = await readdir(path)
  if (names.length > 0) {
    throw complaint(
      `${path} is not empty; choose an empty folder, or hide its contents with -o nonempty`,
    )
  }
}

/** Whether the last mount on `path` is one of this program. */
export async function isOurs(path: string): Promise<boolean> {
  return (await mountedAt(path))?.type === mountType
}

/** Unmounts. Throws `busy`, naming the mounts in it or the processes that use it; nothing has changed then. */
export async function unmount(path: string): Promise<void> {
  try {
    await run(helper, ['-u', '--', path], { timeout: helperTimeoutMs })
  } catch (cause) {
    if (!(await isOurs(path))) return
    const inner = await mountpointsIn(path)
    if (inner.length > 0) {
      throw new DfsError('busy', `${path} is in use; unmount ${inner.join(' and ')} first`)
    }
    const users = await usersOf(path)
    if (users.length > 0) throw new DfsError('busy', `${path} is in use by ${listOf(users)}`)
    const said = (cause as { stderr?: string }).stderr?.trim() ?? String(cause)
    throw new DfsError('busy', said, { cause })
  }
}

function listOf(users: readonly MountUser[]): string {
  const shown = users.slice(0, 5).map(({ pid, command }) => `${command} (process ${pid})`)
  const more = users.length - shown.length
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '')
}

function complaint(message: string, cause?: unknown): DfsError {
  return new DfsError('configuration', message, { cause })
}
