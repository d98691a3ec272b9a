/** The groups of a process that we work for: the kernel tells us its first only. */
import { readFile } from 'node:fs/promises'
import { debugFuse } from '../log.js'
import type { Caller } from './attributes.js'

/** False as well when this process may not look: proc(5), /proc/pid/status. */
export async function isInGroup({ pid, gid }: Caller, group: number): Promise<boolean> {
  if (gid === group) return true
  if (pid <= 0) return false
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    const [, groups = ''] = /^Groups:(.*)$/m.exec(status) ?? []
    return groups.trim().split(/\s+/).includes(String(group))
  } catch (error) {
    debugFuse('groups of %d: %o', pid, error)
    return false
  }
}
