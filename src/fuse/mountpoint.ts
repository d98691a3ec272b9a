/** The folder that is mounted upon: is it fit for that, and how does what is on it come off again? */
import { execFile } from 'node:child_process'
import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { DfsError } from '../errors.js'
import { type MountUser, mountedAt, usersOf } from './mount-table.js'

const run = promisify(execFile)
const helper = 'fusermount3'
const helperTimeoutMs = 30_000

/**
 * The path by which the kernel knows `path`, which itself is not touched: links are followed only in
 * what is above it.
 */
export async function absoluteMountpoint(path: string): Promise<string> {
  const absolute = resolve(path)
  const parent = await realpath(dirname(absolute)).catch(() => dirname(absolute))
  return absolute === '/' ? absolute : join(parent, basename(absolute))
}

/**
 * Makes sure that `path` can be mounted upon: an empty folder with nothing mounted on it. A mount
 * whose daemon has died is removed. Throws `configuration` with a sentence that says what to do.
 */
export async function prepareMountpoint(path: string): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error)
  if (found instanceof Error) {
    if (found.code === 'ENOTCONN' || found.code === 'ECONNABORTED') {
      await run(helper, ['-u', '-z', '--', path], { timeout: helperTimeoutMs }).catch(
        () => undefined,
      )
      if ((await mountedAt(path)) !== undefined) {
        throw complaint(`${path} holds a dead mount that cannot be removed: try umount -l ${path}`)
      }
      return prepareMountpoint(path)
    }
    if (found.code === 'ENOENT') throw complaint(`${path} does not exist: mkdir it first`)
    throw complaint(`${path}: ${found.message}`, found)
  }
  if (!found.isDirectory()) throw complaint(`${path} is not a folder`)
  const mounted = await mountedAt(path)
  if (mounted !== undefined) throw complaint(`${path} is already mounted (${mounted.type})`)
  const names = await readdir(path)
  if (names.length > 0) throw complaint(`${path} is not empty: what is in it would be hidden`)
}

/** Takes the mount off. Throws `busy`, naming who uses it; nothing has changed then. */
export async function unmount(path: string): Promise<void> {
  try {
    await run(helper, ['-u', '--', path], { timeout: helperTimeoutMs })
  } catch (cause) {
    if ((await mountedAt(path)) === undefined) return
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
