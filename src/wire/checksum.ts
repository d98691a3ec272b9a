/**
 * CRC-32 (ISO 3309, as in zlib) of each 64 KiB block of a piece. The client that writes computes it and every reader
 * checks it, end to end. The library @node-rs/crc32 multiplies without carry in vector registers and takes a quarter
 * of the time of node:zlib's crc32, which uses tables. Rows of the index and entries of the vote log, most of which are
 * short, have theirs from node:zlib: a call of it costs half as much, and the values are the same.
 */
import { crc32 } from '@node-rs/crc32'
import { limits } from '../limits.js'

const { blockBytes } = limits

/** Computes one checksum for every block of `bytes`, the last of which may be shorter. */
export function checksumsOf(bytes: Uint8Array): number[] {
  const checksums = new BlockChecksums()
  checksums.add(bytes)
  return checksums.finish()
}

/** Computes the checksums of the blocks of a byte stream that arrives in parts, wherever it is cut. */
export class BlockChecksums {
  readonly #whole: number[] = []
  #checksum = 0
  #filledBytes = 0

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const length = Math.min(bytes.length - at, blockBytes - this.#filledBytes)
      this.#checksum = crc32(bytes.subarray(at, at + length), this.#checksum)
      at += length
      this.#filledBytes += length
      if (this.#filledBytes === blockBytes) {
        this.#whole.push(this.#checksum)
        this.#checksum = 0
        this.#filledBytes = 0
      }
    }
  }

  /** Returns an independent copy that continues from here. */
  copy(): BlockChecksums {
    const copy = new BlockChecksums()
    copy.#whole.push(...this.#whole)
    copy.#checksum = this.#checksum
    copy.#filledBytes = this.#filledBytes
    return copy
  }

  /** Returns the checksums of all blocks added, the last of which may be short. Nothing may be added afterwards. */
  finish(): number[] {
    if (this.#filledBytes > 0) this.#whole.push(this.#checksum)
    return this.#whole
  }
}

/** Whether `bytes`, which start at the start of a block, have exactly these checksums. */
export function matchesChecksums(bytes: Uint8Array, checksums: readonly number[]): boolean {
  if (checksums.length !== Math.ceil(bytes.length / blockBytes)) return false
  return checksums.every(
    (checksum, index) =>
      crc32(bytes.subarray(index * blockBytes, (index + 1) * blockBytes)) === checksum,
  )
}
