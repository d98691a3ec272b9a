/**
 * A small process that outlives this one. When this one is killed it takes the dead mount off, upon
 * which every program would otherwise get "Transport endpoint is not connected". libfuse has an option
 * for the same, which often looks too early and then leaves the mount.
 */
import { type ChildProcess, spawn } from 'node:child_process'

/** Reading fails when the other end is gone; a folder that answers belongs to somebody else by then. */
const script = 'read -r word || { sleep 1; [ -d "$1" ] || fusermount3 -u -z -- "$1"; }'

export class DeadMountWatch {
  readonly #child: ChildProcess

  constructor(mountpoint: string) {
    // In a session of its own it hears no Ctrl-C.
    this.#child = spawn('/bin/sh', ['-c', script, 'sh', mountpoint], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    this.#child.on('error', () => undefined)
    this.#child.stdin?.on('error', () => undefined)
    this.#child.unref()
  }

  /** The mount has come to an orderly end. */
  end(): void {
    this.#child.stdin?.end('ended\n')
  }
}
