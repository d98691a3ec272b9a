/**
 * Rights of the process that made a request, beyond the user and the first group that the kernel sends. They can be
 * read from proc(5), /proc/pid/status, because the process waits for its answer.
 */
import { readFile, readlink } from 'node:fs/promises'
import { debugFuse } from '../../log.js'
import type { Caller } from '../kernel/request.js'

/** CAP_SYS_ADMIN of capabilities(7). */
const sysAdmin = 21n
/** The user namespace whose capabilities count for a file system: PROC_USER_INIT_INO of the kernel. */
const firstUserNamespace = 'user:[4026531837]'

/** Whether the caller is in `group`. False also when this process may not inspect the caller. */
export async function isInGroup({ pid, gid }: Caller, group: number): Promise<boolean> {
  if (gid === group) return true
  const groups = await statusOf(pid, 'Groups')
  return groups?.split(/\s+/).includes(String(group)) === true
}

/**
 * Whether the kernel lets `caller` read trusted.* attributes: it needs CAP_SYS_ADMIN, in the first user namespace.
 * The user id alone does not show it, since root of a container usually lacks it, but decides for a process that is not
 * visible from here.
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

/** A line of the process's status, or undefined when this process may not read it. */
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
