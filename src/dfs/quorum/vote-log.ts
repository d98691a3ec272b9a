/**
 * Votes that may not be in the index yet. A client waits for its votes; writing one to the index costs
 * a server ten times as much as appending it to a file, and many are written there together for little
 * more than one. The file is what makes them outlast the process until then. It is synced only where a
 * client's fsync asks for that: a power cut may take other votes, as docs/decisions/0001 says.
 *
 * The same bytes of the file are used again and again, because to make a file longer and shorter for
 * each vote costs several times what the vote does. So entries may still be there when they are in the
 * index as well, and who reads them has to know one that is.
 */
import assert from 'node:assert/strict'
import { closeSync, constants, fstatSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { FileSync } from '../disk/file-sync.js'

export interface VoteLog {
  /** Adds entries behind those that are there, all or (when it throws) none. */
  append(entries: readonly Buffer[]): void
  /** Resolves when all entries are on the disk. */
  sync(): Promise<void>
  /**
   * `clear` is going to drop entries that were synced: what takes their place has to be on the disk
   * before.
   */
  readonly dropsSynced: boolean
  /** Returns the entries in their order; one that was being written when the process ended is left out. */
  read(): readonly Buffer[]
  /** True when some entry had rotted: a vote may be lost that was given. */
  readonly hasRotted: boolean
  /** Notes that all entries are in the index: they may go, now or later. */
  clear(): void
  /** `isIndexOnDisk`: nothing is needed any more that was cleared. */
  close(isIndexOnDisk: boolean): void
}

const { O_CREAT, O_RDWR } = constants
/**
 * First bytes of the file. No entry is so long, so that a file without this head is known: older programs wrote
 * none.
 */
const mark = 0x64667377
/** First bytes of a file whose entries have no tag. */
const untaggedMark = 0x64667376
/** Tag in the byte above the length of an entry, which finds the next one behind one that has rotted. */
const tag = 0x76
const lengthMask = 0xff_ffff
const fileHeadBytes = 8
const entryHeadBytes = 8
/** Size beyond which `clear` begins anew. */
const fullBytes = 1024 * 1024
/** Size by which the file becomes longer. */
const stepBytes = 256 * 1024
const zeros = Buffer.alloc(stepBytes)
/** Memory for what is written at once: nothing stays in it. */
const scratch = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * u32 mark, u32 generation; then u8 tag, u24 length, u32 CRC-32 of the entry, the entry; and so on. The
 * sums begin with the generation, so that what is left of an older one matches none.
 */
export class FileVoteLog implements VoteLog {
  readonly #path: string
  readonly #file: number
  readonly #disk: FileSync
  /** Size of the file, and where the entries in it end. */
  #size: number
  #end = fileHeadBytes
  #generation = 0
  #entries: Buffer[]
  #isSynced: boolean
  /** Some entry may not be in the index. */
  #isNeeded: boolean
  #hasRotted = false

  constructor(path: string) {
    this.#path = path
    this.#file = openSync(path, O_RDWR | O_CREAT, 0o600)
    this.#disk = new FileSync(this.#file)
    this.#size = fstatSync(this.#file).size
    this.#entries = this.#parse(readFileSync(path))
    // Nobody knows what the process before this one had synced.
    this.#isSynced = this.#entries.length > 0
    this.#isNeeded = this.#isSynced
  }

  get dropsSynced(): boolean {
    return this.#isSynced && this.#isFull
  }

  append(entries: readonly Buffer[]): void {
    if (this.#generation === 0) this.#begin(1)
    let length = 0
    for (const entry of entries) {
      assert(
        entry.length > 0 && entry.length <= lengthMask,
        'an entry that would not be found again',
      )
      length += entryHeadBytes + entry.length
    }
    const bytes =
      length <= scratch.length ? scratch.subarray(0, length) : Buffer.allocUnsafe(length)
    let at = 0
    for (const entry of entries) {
      bytes.writeUInt32BE(entry.length, at)
      bytes.writeUInt8(tag, at)
      bytes.writeUInt32BE(crc32(entry, this.#generation), at + 4)
      at += entryHeadBytes + entry.copy(bytes, at + entryHeadBytes)
    }
    this.#lengthen(this.#end + bytes.length)
    try {
      this.#write(bytes, this.#end)
    } catch (thrown) {
      this.#write(zeros.subarray(0, entryHeadBytes), this.#end)
      throw thrown
    }
    this.#end += bytes.length
    assert(this.#end <= this.#size, 'an entry behind the end of the file')
    this.#isNeeded = true
  }

  sync(): Promise<void> {
    this.#isSynced ||= this.#isNeeded
    return this.#disk.sync()
  }

  read(): readonly Buffer[] {
    const entries = this.#entries
    this.#entries = []
    return entries
  }

  get hasRotted(): boolean {
    return this.#hasRotted
  }

  clear(): void {
    if (this.#isFull) this.#begin(this.#generation + 1)
    this.#isNeeded = false
  }

  /** Closes the file, and removes it when nothing in it is needed any more. */
  close(isIndexOnDisk: boolean): void {
    closeSync(this.#file)
    if (isIndexOnDisk && !this.#isNeeded) rmSync(this.#path, { force: true })
  }

  get #isFull(): boolean {
    return this.#end > fullBytes || this.#generation === 0
  }

  #begin(generation: number): void {
    assert(generation > this.#generation, 'older entries would count again')
    const head = Buffer.allocUnsafe(fileHeadBytes)
    head.writeUInt32BE(mark, 0)
    head.writeUInt32BE(generation % 2 ** 32, 4)
    this.#lengthen(fileHeadBytes)
    this.#write(head, 0)
    this.#generation = generation
    this.#end = fileHeadBytes
    this.#isSynced = false
  }

  #parse(bytes: Buffer): Buffer[] {
    const found = bytes.length >= fileHeadBytes ? bytes.readUInt32BE(0) : 0
    const hasHead = found === mark || found === untaggedMark
    const isTagged = found === mark
    const generation = hasHead ? bytes.readUInt32BE(4) : 0
    const entries: Buffer[] = []
    let at = hasHead ? fileHeadBytes : 0
    for (;;) {
      const entry = entryAt(bytes, at, generation, isTagged)
      if (entry !== undefined) {
        entries.push(entry)
        at += entryHeadBytes + entry.length
        continue
      }
      const next = isTagged ? nextEntry(bytes, at, generation) : undefined
      if (next === undefined) break
      this.#hasRotted = true
      at = next
    }
    // Behind entries of another form none of this form can stand.
    this.#generation = isTagged ? generation : 0
    this.#end = Math.max(at, fileHeadBytes)
    return entries
  }

  #lengthen(end: number): void {
    while (this.#size < end) {
      this.#write(zeros, this.#size)
      this.#size += stepBytes
    }
  }

  #write(bytes: Buffer, at: number): void {
    this.#disk.wrote()
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#file, bytes, done, bytes.length - done, at + done)
    }
  }
}

/** Returns the whole entry that begins at `at`, if there is one. */
function entryAt(
  bytes: Buffer,
  at: number,
  generation: number,
  isTagged: boolean,
): Buffer | undefined {
  if (at + entryHeadBytes > bytes.length) return undefined
  const head = bytes.readUInt32BE(at)
  const length = isTagged ? head & lengthMask : head
  const begin = at + entryHeadBytes
  if (length === 0 || begin + length > bytes.length) return undefined
  if (isTagged && bytes[at] !== tag) return undefined
  const entry = bytes.subarray(begin, begin + length)
  return crc32(entry, generation) === bytes.readUInt32BE(at + 4) ? entry : undefined
}

/**
 * Finds where the next whole entry begins behind `at`. An entry that a process was writing when it was killed
 * has none behind it.
 */
function nextEntry(bytes: Buffer, at: number, generation: number): number | undefined {
  for (let next = bytes.indexOf(tag, at + 1); next !== -1; next = bytes.indexOf(tag, next + 1)) {
    if (entryAt(bytes, next, generation, true) !== undefined) return next
  }
  return undefined
}

/** For a simulation: outlasts the server that uses it, as a disk does. */
export class MemoryVoteLog implements VoteLog {
  readonly dropsSynced = false
  readonly hasRotted = false
  readonly #fullBytes: number
  #entries: Buffer[] = []
  #bytes = 0

  /** Small, so that both cases come: entries that are in the index and gone, and still there. */
  constructor(fullBytes = 8 * 1024) {
    this.#fullBytes = fullBytes
  }

  append(entries: readonly Buffer[]): void {
    this.#entries.push(...entries.map((entry) => Buffer.from(entry)))
    this.#bytes += entries.reduce((sum, { length }) => sum + length, 0)
  }

  async sync(): Promise<void> {}

  read(): readonly Buffer[] {
    return this.#entries
  }

  clear(): void {
    if (this.#bytes <= this.#fullBytes) return
    this.#entries = []
    this.#bytes = 0
  }

  close(): void {}
}
