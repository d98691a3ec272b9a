/** Which start of this machine we live in. After another one, what was not on the disk is gone. */
import { readFileSync } from 'node:fs'
import { hostname, uptime } from 'node:os'

/** The kernel's random id of this boot; elsewhere than on Linux, host and time of the start. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return `${hostname()} ${Math.round(Date.now() / 60_000 - uptime() / 60)}`
  }
}
