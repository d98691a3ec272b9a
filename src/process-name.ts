/** The name of this process, as ps(1), top(1) and pgrep(1) show it: /proc/pid/comm of proc(5). */
import { writeFileSync } from 'node:fs'

/** Names this process, which Node calls by the name of its main thread. The first 15 characters count. */
export function nameProcess(name: string): void {
  try {
    writeFileSync('/proc/self/comm', name)
  } catch {
    // A container may show no /proc, and nothing depends on the name.
  }
}
