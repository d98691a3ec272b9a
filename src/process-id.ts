/** Names of processes that no other process ever has: process ids are used again, also after the machine has restarted. */
import assert from 'node:assert/strict'
import { readFileSync, readlinkSync } from 'node:fs'

/** States of a process that has ended and whose parent has not asked for its exit status yet: proc(5). */
const hasEnded: ReadonlySet<string> = new Set(['Z', 'X'])
const bootFile = '/proc/sys/kernel/random/boot_id'

/** Error codes of a process that does not exist, or that belongs to another user. */
const isNone: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM'])

/**
 * Returns a name of this process: the start of the machine, the process id, when the process began, and its namespace.
 * Throws where the system does not tell.
 */
export function ownProcess(): string {
  const name = nameOf(process.pid)
  assert(name !== undefined, 'it has not ended')
  return name
}

/**
 * Whether two names are of processes that see one another: on one machine since it was started, in one namespace. Of
 * another one it cannot be told whether it runs: it may be on another machine that shares the folder, or in another container.
 */
export function areTogether(one: string, other: string): boolean {
  const [[boot, , , namespace], [otherBoot, , , otherNamespace]] = [
    one.split('-'),
    other.split('-'),
  ]
  return boot === otherBoot && namespace === otherNamespace
}

/** Whether the process with this name runs still. Throws where the system does not tell: it has too many open files. */
export function isProcess(name: string): boolean {
  const pid = Number(name.split('-')[1])
  if (!Number.isInteger(pid)) return false
  try {
    return nameOf(pid) === name
  } catch (error) {
    if (isNone.has((error as NodeJS.ErrnoException).code)) return false
    throw error
  }
}

/** Undefined for a process that has ended. Throws what the system says. */
function nameOf(pid: number): string | undefined {
  const boot = readFileSync(bootFile, 'utf8').replaceAll(/[^0-9a-f]/g, '')
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // proc(5): the name of the program, in parentheses, may contain anything; the start time is the 20th field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state = '', started] = [fields[0], fields[19]]
  const namespace = readlinkSync('/proc/self/ns/pid').replaceAll(/[^0-9]/g, '')
  return hasEnded.has(state) ? undefined : `${boot}-${pid}-${started}-${namespace}`
}
