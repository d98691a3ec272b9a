/**
 * Votes that are not in the index yet. A client waits for its votes; writing one to the index costs a
 * server ten times as much as appending it to a file, and many are written there together for little
 * more than one. The file is what makes them outlast the process until then. It is never fsynced: a
 * power cut may take votes, as docs/decisions/0001 says, and what a client's fsync covers is in the
 * index by then.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { crc32 } from 'node:zlib'

export interface VoteLog {
  /** Adds entries behind those that are there, all or (when it throws) none. */
  append(entries: readonly Buffer[]): void
  /** The entries in their order; one that was being written when the process ended is left out. */
  read(): Buffer[]
  clear(): void
  close(): void
}

const headBytes = 8

/** u32 length, u32 CRC-32 of the entry, the entry; and so on. */
export class FileVoteLog implements VoteLog {
  readonly #path: string
  readonly #file: number
  #length: number

  constructor(path: string) {
    this.#path = path
    this.#file = openSync(path, 'a+', 0o600)
    this.#length = fstatSync(this.#file).size
  }

  append(entries: readonly Buffer[]): void {
    const parts = entries.flatMap((entry) => {
      const head = Buffer.allocUnsafe(headBytes)
      head.writeUInt32BE(entry.length, 0)
      head.writeUInt32BE(crc32(entry), 4)
      return [head, entry]
    })
    const bytes = Buffer.concat(parts)
    const written = writeSync(this.#file, bytes)
    if (written < bytes.length) {
      ftruncateSync(this.#file, this.#length)
      throw Object.assign(new Error('the log of votes is cut short'), { code: 'ENOSPC' })
    }
    this.#length += bytes.length
  }

  read(): Buffer[] {
    const bytes = readFileSync(this.#path)
    const entries: Buffer[] = []
    let at = 0
    while (at + headBytes <= bytes.length) {
      const begin = at + headBytes
      const entry = bytes.subarray(begin, begin + bytes.readUInt32BE(at))
      if (begin + bytes.readUInt32BE(at) > bytes.length) break
      if (crc32(entry) !== bytes.readUInt32BE(at + 4)) break
      entries.push(entry)
      at = begin + entry.length
    }
    return entries
  }

  clear(): void {
    ftruncateSync(this.#file, 0)
    this.#length = 0
  }

  /** An empty one leaves nothing behind. */
  close(): void {
    closeSync(this.#file)
    if (this.#length === 0) rmSync(this.#path, { force: true })
  }
}

/** For a simulation: outlasts the server that uses it, as a disk does. */
export class MemoryVoteLog implements VoteLog {
  #entries: Buffer[] = []

  append(entries: readonly Buffer[]): void {
    this.#entries.push(...entries.map((entry) => Buffer.from(entry)))
  }

  read(): Buffer[] {
    return this.#entries
  }

  clear(): void {
    this.#entries = []
  }

  close(): void {}
}
