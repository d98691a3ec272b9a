/**
 * The numbers by which the kernel knows the files of the mount. libfuse does not tell them, and what is
 * in the mount must not be touched from here, so that another small process looks them up with
 * lstat(2). It is started when it is needed for the first time.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { limits } from '../limits.js'
import { debugFuse } from '../log.js'

interface Answer {
  readonly id: number
  readonly number: string | undefined
}

export class KernelNumbers {
  readonly #mountpoint: string
  readonly #waiting = new Map<number, (number: bigint | undefined) => void>()
  #child: ChildProcess | undefined
  #next = 1

  constructor(mountpoint: string) {
    this.#mountpoint = mountpoint
  }

  /**
   * The number of the file that the kernel knows by `path`, an absolute path within the mount.
   * undefined when there is none, it may not be seen, or the answer takes too long.
   */
  async of(path: string): Promise<bigint | undefined> {
    const id = this.#next
    this.#next += 1
    const child = this.#helper()
    return new Promise((resolve) => {
      const done = (number: bigint | undefined): void => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(number)
      }
      const timer = setTimeout(done, limits.kernelNumberMs, undefined)
      this.#waiting.set(id, done)
      child.send({ id, path: join(this.#mountpoint, path) }, (error) => {
        if (error) done(undefined)
      })
    })
  }

  end(): void {
    this.#child?.disconnect()
    this.#child = undefined
  }

  #helper(): ChildProcess {
    if (this.#child?.connected) return this.#child
    // In a session of its own it hears no Ctrl-C; it ends when this process does.
    const child = fork(join(import.meta.dirname, 'kernel-numbers-helper.js'), [], {
      cwd: '/',
      detached: true,
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    child.on('message', ({ id, number }: Answer) => {
      this.#waiting.get(id)?.(number === undefined ? undefined : BigInt(number))
    })
    child.on('error', (error) => debugFuse('kernel numbers: %o', error))
    child.unref()
    child.channel?.unref()
    this.#child = child
    return child
  }
}
