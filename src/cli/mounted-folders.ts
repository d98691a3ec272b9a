/**
 * Which folders of this machine a mount of the account shows: a folder has the same number there as on the servers, and
 * others may have that number by chance. The root of every FUSE file system is 1.
 */
import { readFileSync } from 'node:fs'
import type { Cluster } from '../dfc/cluster/cluster.js'
import { rootIno } from '../wire/records.js'
import { askMounts } from './mounts.js'

export class MountedFolders {
  readonly #cluster: Pick<Cluster, 'id' | 'config'>
  /** By the number of the device, as of stat(2). */
  readonly #known = new Map<bigint, Promise<boolean>>()

  constructor(cluster: Pick<Cluster, 'id' | 'config'>) {
    this.#cluster = cluster
  }

  /** Whether a folder on this device may be one of the account. True where the mount cannot be asked whose it is. */
  mayBeOn(dev: bigint): Promise<boolean> {
    const known = this.#known.get(dev) ?? this.#ask(deviceText(dev))
    this.#known.set(dev, known)
    return known
  }

  async #ask(device: string): Promise<boolean> {
    if (!isMount(device)) return false
    const asked = { verb: 'why', ino: rootIno, device } as const
    if ((await askMounts(asked)).length === 0) return true
    const { id: cluster, config } = this.#cluster
    const own = { ...asked, user: config.user, ...(cluster === undefined ? {} : { cluster }) }
    return (await askMounts(own)).length > 0
  }
}

/** Whether the device is that of a mount of this program, whoever mounted it: proc(5). */
export function isMount(device: string): boolean {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  return lines.some((line) => line.split(' ')[2] === device && line.includes(' - fuse.dfs '))
}

/** st_dev as "major:minor": makedev(3) of glibc. */
export function deviceText(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n)
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n)
  return `${major}:${minor}`
}
