/** Names of processes that no other process ever has: process ids are used again, also after the machine has restarted. */
import { readFileSync } from 'node:fs'

const bootFile = '/proc/sys/kernel/random/boot_id'

/** Returns a name of this process: the start of the machine, the process id, and when the process began. */
export function ownProcess(): string {
  return nameOf(process.pid) ?? `unknown-${process.pid}`
}

/** Whether the process with this name runs still. */
export function isProcess(name: string): boolean {
  const pid = Number(name.split('-')[1])
  return Number.isInteger(pid) && nameOf(pid) === name
}

function nameOf(pid: number): string | undefined {
  try {
    const boot = readFileSync(bootFile, 'utf8').replaceAll(/[^0-9a-f]/g, '')
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // proc(5): the name of the program, in parentheses, may contain anything; the start time is the 20th field after it.
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${boot}-${pid}-${started}`
  } catch {
    return undefined
  }
}
