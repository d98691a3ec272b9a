/**
 * The digest of a segment, made while its bytes come in. MD5 takes longer than everything else that a
 * client does with a byte, so that programs which write much have it made by a thread of their own
 * (thread-digests.ts), and the checksums with it; in between stands this interface.
 */
import { createHash } from 'node:crypto'

export interface Digested {
  /** MD5 as hexadecimal digits. */
  readonly md5: string
  /** CRC-32 of each 64 KiB block, if they were computed on the way. */
  readonly checksums?: readonly number[]
}

/** The digest of one segment. */
export interface Digest {
  /** Takes in what comes next. The bytes must not change as long as the digest is wanted. */
  update(bytes: Buffer): void
  /**
   * Returns the digest of everything added and of `rest`. More may be added afterwards, but not on top of `rest`.
   * Undefined when it could not be computed: then the bytes have to be read again.
   */
  digest(rest: readonly Buffer[]): Promise<Digested | undefined>
  /** Drops the digest, which is no longer needed. */
  end(): void
}

export interface Digests {
  begin(): Digest
  /** Digests that somebody still waits for are undefined. */
  close(): void
}

/** On the thread that asks for it. */
export const localDigests: Digests = {
  begin() {
    const hash = createHash('md5')
    return {
      update: (bytes) => void hash.update(bytes),
      async digest(rest) {
        const all = hash.copy()
        for (const bytes of rest) all.update(bytes)
        return { md5: all.digest('hex') }
      },
      end() {},
    }
  },
  close() {},
}
