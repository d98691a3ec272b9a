/** Pieces in memory, for simulations and tests: the same contract as on a disk, and no disk. */
import assert from 'node:assert/strict'
import { DfsError } from '../../errors.js'
import type {
  DiskSpace,
  LentBytes,
  PieceName,
  PieceStore,
  PieceWriter,
  StoredPiece,
} from './piece-store.js'

interface Held extends PieceName {
  readonly bytes: Buffer
  readonly storedMs: number
}

export class MemoryPieces implements PieceStore {
  readonly #now: () => number
  readonly #capacityBytes: number
  readonly #held = new Map<string, Held>()
  #usedBytes = 0
  #aside: Held[] = []

  /** `now` in milliseconds since 1970. What does not fit `capacityBytes` is `noSpace`. */
  constructor(now: () => number, capacityBytes = Number.MAX_SAFE_INTEGER) {
    this.#now = now
    this.#capacityBytes = capacityBytes
  }

  put({ segment, piece }: PieceName, bytes: Uint8Array): void {
    if (bytes.length === 0) return
    const key = `${segment}.${piece}`
    const used = this.#usedBytes - (this.#held.get(key)?.bytes.length ?? 0) + bytes.length
    if (used > this.#capacityBytes) throw new DfsError('noSpace')
    this.#held.set(key, { segment, piece, bytes: Buffer.from(bytes), storedMs: this.#now() })
    this.#usedBytes = used
  }

  writer(name: PieceName): PieceWriter {
    let parts: Buffer[] | undefined = []
    return {
      append: async (bytes) => void parts?.push(Buffer.from(bytes)),
      finish: async () => {
        if (parts === undefined) throw new DfsError('io', 'The upload was abandoned')
        this.put(name, Buffer.concat(parts))
      },
      abandon: () => {
        parts = undefined
      },
    }
  }

  async read({ segment, piece }: PieceName, offset: number, length: number): Promise<LentBytes> {
    const held = this.#held.get(`${segment}.${piece}`)
    if (held === undefined) throw new DfsError('noPiece')
    if (offset + length > held.bytes.length) throw new DfsError('corrupt')
    const bytes = Buffer.from(held.bytes.subarray(offset, offset + length))
    return { bytes, release() {} }
  }

  holds({ segment, piece }: PieceName): boolean {
    return this.#held.has(`${segment}.${piece}`)
  }

  remove({ segment, piece }: PieceName): void {
    const key = `${segment}.${piece}`
    this.#usedBytes -= this.#held.get(key)?.bytes.length ?? 0
    this.#held.delete(key)
    assert(this.#usedBytes >= 0, 'more is removed than was put')
    assert.equal(this.#usedBytes === 0, this.#held.size === 0)
  }

  moveAside(name: PieceName): void {
    const held = this.#held.get(`${name.segment}.${name.piece}`)
    if (held === undefined) return
    this.remove(name)
    this.#aside.push({ ...held, storedMs: this.#now() })
  }

  async bringBack(name: PieceName): Promise<number | undefined> {
    const isIt = ({ segment, piece }: Held): boolean =>
      segment === name.segment && piece === name.piece
    const aside = this.#aside.find(isIt)
    if (!this.holds(name) && aside !== undefined) {
      this.put(name, aside.bytes)
      this.#aside = this.#aside.filter((one) => !isIt(one))
    }
    return this.#held.get(`${name.segment}.${name.piece}`)?.bytes.length
  }

  get asideBytes(): number {
    return this.#aside.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  async forgetAside(beforeMs: number): Promise<void> {
    this.#aside = this.#aside.filter(({ storedMs }) => storedMs >= beforeMs)
  }

  async sync(): Promise<void> {}

  async *list(): AsyncIterable<StoredPiece> {
    for (const { segment, piece, bytes, storedMs } of this.#held.values()) {
      yield { segment, piece, bytes: bytes.length, storedMs }
    }
  }

  async space(): Promise<DiskSpace> {
    const bytes = this.#capacityBytes
    return { bytes, freeBytes: bytes - this.#usedBytes, disk: 'memory' }
  }
}
