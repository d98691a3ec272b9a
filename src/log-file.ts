/**
 * A file that a program writes its log to. It is bounded: at a certain size its content becomes FILE.1, in the place of
 * what was there. The file itself stays and is emptied, so that whatever else was opened to append to it, such as the
 * standard error of the program or another program, goes on in the same file.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { limits } from './limits.js'

/** To wait for the reader of a named pipe would stop the program that the log is about. */
const appendFlags =
  constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK
const privateMode = 0o600
const chunkBytes = 256 * 1024

export class LogFile {
  readonly #path: string
  readonly #bytesMax: number
  #fd: number
  /** The last line has no end: the disk was full. */
  #isCut = false

  /** Opens the file to append to it. Throws what the system says when that fails. */
  constructor(path: string, bytesMax: number = limits.logFileBytesMax) {
    this.#path = path
    this.#bytesMax = bytesMax
    this.#fd = openSync(path, appendFlags, privateMode)
  }

  /** Appends. A log that cannot be written must not end the program that it is about. */
  write(text: string): void {
    try {
      const bytes = Buffer.from(this.#isCut ? `\n${text}` : text)
      this.#isCut = writeSync(this.#fd, bytes) < bytes.length
      const { size } = fstatSync(this.#fd)
      if (size >= this.#bytesMax) this.#setAside(size)
    } catch {
      // There is no other place to say so.
    }
  }

  /** Opens the file anew: another program, such as logrotate(8), has renamed it. */
  reopen(): void {
    let fd: number
    try {
      fd = openSync(this.#path, appendFlags, privateMode)
    } catch {
      // The file that is open is better than none.
      return
    }
    closeSync(this.#fd)
    this.#fd = fd
  }

  /** Leads to the file that is open, whatever has its name by now. */
  get #opened(): string {
    return `/proc/self/fd/${this.#fd}`
  }

  #setAside(size: number): void {
    const copy = `${this.#path}.${process.pid}.new`
    try {
      this.#copyTo(copy)
      // Another program that writes to it may have set it aside meanwhile.
      if (fstatSync(this.#fd).size < size) rmSync(copy, { force: true })
      else {
        renameSync(copy, `${this.#path}.1`)
        ftruncateSync(this.#fd)
      }
    } catch {
      rmSync(copy, { force: true })
      this.#dropOlderHalf(size)
    }
  }

  /**
   * Copies what is in the file. `copyFileSync` waits for as many bytes as there were when it began, for ever when another
   * program empties the file meanwhile.
   */
  #copyTo(path: string): void {
    const from = openSync(this.#opened, 'r')
    try {
      const to = openSync(path, 'w', privateMode)
      try {
        const chunk = Buffer.alloc(chunkBytes)
        for (let length = readSync(from, chunk); length > 0; length = readSync(from, chunk)) {
          writeFileSync(to, chunk.subarray(0, length))
        }
      } finally {
        closeSync(to)
      }
    } finally {
      closeSync(from)
    }
  }

  /** Keeps the file bounded where nothing can be put beside it: on a full disk, or in a folder of somebody else. */
  #dropOlderHalf(size: number): void {
    const half = Buffer.alloc(Math.floor(this.#bytesMax / 2))
    const fd = openSync(this.#opened, 'r')
    try {
      const length = readSync(fd, half, 0, half.length, size - half.length)
      const line = half.indexOf('\n') + 1
      ftruncateSync(this.#fd)
      writeSync(this.#fd, half.subarray(line, length))
    } finally {
      closeSync(fd)
    }
  }
}
