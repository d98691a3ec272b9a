/**
 * What is mounted where, from /proc: without ever touching a mountpoint, which would ask the very
 * daemon that is asking.
 */
import { readdir, readFile, readlink } from 'node:fs/promises'

export interface MountEntry {
  /** As in st_dev, "major:minor". */
  readonly device: string
  readonly mountpoint: string
  /** Such as "fuse.dfs". */
  readonly type: string
  /** Flags of the mount and of its file system, such as "ro" and "nosuid". */
  readonly options: readonly string[]
}

/** The type of every mount of this program. */
export const mountType = 'fuse.dfs'

/** A process with something open below a mountpoint. */
export interface MountUser {
  readonly pid: number
  readonly command: string
}

/** What is mounted on exactly this absolute path, the last mount on top; undefined for nothing. */
export async function mountedAt(path: string): Promise<MountEntry | undefined> {
  return (await allMounts()).findLast(({ mountpoint }) => mountpoint === path)
}

/** Where a file system is mounted, as far as can be seen from here. */
export async function mountsOf(device: string): Promise<readonly string[]> {
  const entries = await allMounts()
  return entries.filter((entry) => entry.device === device).map(({ mountpoint }) => mountpoint)
}

async function allMounts(): Promise<readonly MountEntry[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'))
}

/** proc(5), /proc/pid/mountinfo. Pure. */
export function parseMountInfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [left, right] = line.split(' - ')
    const [, , device, , mountpoint, own = ''] = left?.split(' ') ?? []
    const [type, , common = ''] = right?.split(' ') ?? []
    if (device === undefined || mountpoint === undefined || type === undefined) return []
    const options = [...own.split(','), ...common.split(',')].filter(Boolean)
    return [{ device, mountpoint: decodeOctal(mountpoint), type, options }]
  })
}

/** Space, tab, newline and backslash stand there as three octal digits; the rest is UTF-8. */
function decodeOctal(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}

/** The processes that are in or have something open below `mountpoint`, as far as we may look. */
export async function usersOf(mountpoint: string): Promise<MountUser[]> {
  const users: MountUser[] = []
  for (const name of await readdir('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    if (await isUsing(pid, mountpoint)) users.push({ pid, command: await commandOf(pid) })
  }
  return users
}

async function isUsing(pid: number, mountpoint: string): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => [])
  const links = ['cwd', 'root', 'exe', ...files.map((fd) => `fd/${fd}`)]
  for (const link of links) {
    const target = await readlink(`/proc/${pid}/${link}`).catch(() => '')
    if (target === mountpoint || target.startsWith(`${mountpoint}/`)) return true
  }
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8').catch(() => '')
  return maps.includes(` ${mountpoint}/`)
}

async function commandOf(pid: number): Promise<string> {
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?')
  return name.trim()
}
