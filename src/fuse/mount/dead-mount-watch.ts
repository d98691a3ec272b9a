/**
 * A small process that outlives the mount's. When that is killed, it removes the dead mount, which would otherwise
 * answer every program with "Transport endpoint is not connected". libfuse's auto_unmount often looks too early and
 * then leaves the mount.
 */
import { type ChildProcess, spawn } from 'node:child_process'

/**
 * Reading fails when the mount's process is gone. If the file system still answers, another mount is there. It is asked
 * for its size, which the kernel does not keep as it keeps the attributes of the folder.
 */
const script =
  'read -r word || { sleep 1; stat -f -- "$1" >/dev/null 2>&1 || fusermount3 -u -z -- "$1"; }'

export class DeadMountWatch {
  readonly #child: ChildProcess

  constructor(mountpoint: string) {
    // In a session of its own it gets no Ctrl-C.
    this.#child = spawn('/bin/sh', ['-c', script, 'sh', mountpoint], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    this.#child.on('error', () => undefined)
    this.#child.stdin?.on('error', () => undefined)
    this.#child.unref()
  }

  /** Ends the watch, when the mount has ended in order. */
  end(): void {
    this.#child.stdin?.end('ended\n')
  }
}
