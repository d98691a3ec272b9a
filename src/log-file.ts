/**
 * A file that a program writes its log to. It is bounded: at a certain size its content becomes FILE.1, in the place of
 * what was there. The file itself stays and is emptied, so that whatever else was opened to append to it, such as the
 * standard error of the program, goes on in the same file.
 */
import {
  closeSync,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { limits } from './limits.js'

const appendMode = 'a'
const privateMode = 0o600

export class LogFile {
  readonly #path: string
  readonly #bytesMax: number
  #fd: number
  /** Size at which it is set aside. */
  #boundBytes: number

  /** Opens the file to append to it. Throws what the system says when that fails. */
  constructor(path: string, bytesMax: number = limits.logFileBytesMax) {
    this.#path = path
    this.#bytesMax = bytesMax
    this.#boundBytes = bytesMax
    this.#fd = openSync(path, appendMode, privateMode)
  }

  /** Appends. A log that cannot be written must not end the program that it is about. */
  write(text: string): void {
    try {
      writeSync(this.#fd, text)
      const { size } = fstatSync(this.#fd)
      if (size >= this.#boundBytes) this.#setAside(size)
    } catch {
      // There is no other place to say so.
    }
  }

  /** Opens the file anew: another program, such as logrotate(8), has renamed it. */
  reopen(): void {
    let fd: number
    try {
      fd = openSync(this.#path, appendMode, privateMode)
    } catch {
      // The file that is open is better than none.
      return
    }
    closeSync(this.#fd)
    this.#fd = fd
    this.#boundBytes = this.#bytesMax
  }

  #setAside(size: number): void {
    const [aside, copy] = [`${this.#path}.1`, `${this.#path}.new`]
    try {
      rmSync(aside, { force: true })
      // From what is open, whatever has its name by now.
      copyFileSync(`/proc/self/fd/${this.#fd}`, copy)
      renameSync(copy, aside)
      ftruncateSync(this.#fd)
      this.#boundBytes = this.#bytesMax
    } catch {
      // On a full disk it is not tried again at each line.
      this.#boundBytes = size + this.#bytesMax
      rmSync(copy, { force: true })
    }
  }
}
