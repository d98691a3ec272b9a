/**
 * What the process may do that we work for: the kernel tells us its user and its first group only. It can be
 * looked up since the process waits for our answer: proc(5), /proc/pid/status.
 */
import { readFile, readlink } from 'node:fs/promises'
import { debugFuse } from '../../log.js'
import type { Caller } from '../kernel/request.js'

/** capabilities(7): CAP_SYS_ADMIN. */
const sysAdmin = 21n
/** The user namespace in which capabilities count for a file system: PROC_USER_INIT_INO of the kernel. */
const firstUserNamespace = 'user:[4026531837]'

/** False as well when this process may not look. */
export async function isInGroup({ pid, gid }: Caller, group: number): Promise<boolean> {
  if (gid === group) return true
  const groups = await statusOf(pid, 'Groups')
  return groups?.split(/\s+/).includes(String(group)) === true
}

/**
 * Whether the kernel lets `caller` read trusted.* attributes: CAP_SYS_ADMIN, and not that of a container's own users. The
 * user does not say so: root of a container is usually without it. Of a process that cannot be seen
 * from here the user has to do.
 */
export async function mayReadTrusted({ pid, uid }: Caller): Promise<boolean> {
  const effective = await statusOf(pid, 'CapEff')
  if (effective === undefined) return uid === 0
  if (((BigInt(`0x${effective}`) >> sysAdmin) & 1n) === 0n) return false
  try {
    return (await readlink(`/proc/${pid}/ns/user`)) === firstUserNamespace
  } catch (error) {
    debugFuse('user namespace of %d: %o', pid, error)
    return uid === 0
  }
}

/** A line of its status; undefined when this process may not look. */
async function statusOf(pid: number, key: string): Promise<string | undefined> {
  if (pid <= 0) return undefined
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    return new RegExp(`^${key}:(.*)$`, 'm').exec(status)?.[1]?.trim()
  } catch (error) {
    debugFuse('status of %d: %o', pid, error)
    return undefined
  }
}
