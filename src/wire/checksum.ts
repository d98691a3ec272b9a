/**
 * CRC-32 (ISO 3309, as in zlib) of each 64 KiB block of a piece, made by the client that writes and
 * checked by whoever reads: end to end.
 */
import { crc32 } from 'node:zlib'
import { limits } from '../limits.js'

const { blockBytes } = limits

/** One checksum for every block of `bytes`, the last of which may be shorter. */
export function checksumsOf(bytes: Uint8Array): number[] {
  const checksums: number[] = []
  for (let at = 0; at < bytes.length; at += blockBytes) {
    checksums.push(crc32(bytes.subarray(at, at + blockBytes)))
  }
  return checksums
}

/** Whether `bytes`, which begin at a block's begin, have exactly these checksums. */
export function matchesChecksums(bytes: Uint8Array, checksums: readonly number[]): boolean {
  if (checksums.length !== Math.ceil(bytes.length / blockBytes)) return false
  return checksums.every(
    (checksum, index) =>
      crc32(bytes.subarray(index * blockBytes, (index + 1) * blockBytes)) === checksum,
  )
}
