/**
 * The table of mounts, read from /proc. It never touches a mountpoint, which would send a request to the very daemon
 * that asks.
 */
import { readdir, readFile, readlink } from 'node:fs/promises'

export interface MountEntry {
  readonly id: number
  /** The id of the mount in which the mountpoint is. */
  readonly parent: number
  /** Device number "major:minor", as in st_dev. */
  readonly device: string
  readonly mountpoint: string
  /** Type of the file system, such as "fuse.dfs". */
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

/** The last file system mounted on exactly this absolute path, or undefined. */
export async function mountedAt(path: string): Promise<MountEntry | undefined> {
  return (await allMounts()).findLast(({ mountpoint }) => mountpoint === path)
}

/** The mountpoints of a device that are visible to this process. */
export async function mountsOf(device: string): Promise<readonly string[]> {
  const entries = await allMounts()
  return entries.filter((entry) => entry.device === device).map(({ mountpoint }) => mountpoint)
}

/** The mountpoints in the last file system that is mounted on exactly this absolute path. */
export async function mountpointsIn(path: string): Promise<readonly string[]> {
  const entries = await allMounts()
  const outer = entries.findLast(({ mountpoint }) => mountpoint === path)
  return entries.filter(({ parent }) => parent === outer?.id).map(({ mountpoint }) => mountpoint)
}

async function allMounts(): Promise<readonly MountEntry[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'))
}

/** Parses /proc/pid/mountinfo, proc(5). Pure. */
export function parseMountInfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [left, right] = line.split(' - ')
    const [id, parent, device, , mountpoint, own = ''] = left?.split(' ') ?? []
    const [type, , common = ''] = right?.split(' ') ?? []
    if (device === undefined || mountpoint === undefined || type === undefined) return []
    const options = [...own.split(','), ...common.split(',')].filter(Boolean)
    const place = { device, mountpoint: decodeOctal(mountpoint) }
    return [{ id: Number(id), parent: Number(parent), ...place, type, options }]
  })
}

/** Decodes a field in which space, tab, newline and backslash are three octal digits; the rest is UTF-8. */
function decodeOctal(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}

/** The processes that are in or have something open below `mountpoint`, of those this user may inspect. */
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
