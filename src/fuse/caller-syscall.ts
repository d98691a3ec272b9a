/**
 * What a process is doing while we work for it: libfuse hides an open file in the same way for unlink(2)
 * and for rename(2) onto it, and only the caller's system call tells the two apart.
 */
import { readFile } from 'node:fs/promises'
import { debugFuse } from '../log.js'

/** rename, renameat, renameat2 as on Linux (asm/unistd.h); the others have no such file or number. */
const renameCalls: Readonly<Record<string, readonly number[]>> = {
  x64: [82, 264, 316],
  arm64: [38, 276],
}

/** A thread that has just asked us may still be on its way to sleep: then nothing is known of it. */
const busy = 'running'
const patienceMs = 100

/**
 * True when the thread `pid` is known to be inside rename(2). False when it is not, and when this
 * process may not look: proc(5), /proc/pid/syscall.
 */
export async function isInRename(pid: number): Promise<boolean> {
  const numbers = renameCalls[process.arch]
  if (pid <= 0 || numbers === undefined) return false
  try {
    const deadlineMs = performance.now() + patienceMs
    let text = busy
    while (text.startsWith(busy) && performance.now() < deadlineMs) {
      text = await readFile(`/proc/${pid}/syscall`, 'utf8')
    }
    return numbers.includes(Number.parseInt(text, 10))
  } catch (error) {
    debugFuse('system call of %d: %o', pid, error)
    return false
  }
}
