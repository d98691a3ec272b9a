/**
 * Digests of segments, computed while their bytes arrive. MD5 takes longer than everything else that a client does
 * with a byte, so programs that write much have a thread compute it (thread-digests.ts), and the checksums with it.
 * This interface hides which of the two is in use.
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
  /** Adds the next bytes. They must not change as long as the digest is wanted. */
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
  /** Ends the computation. Callers that wait for a digest get undefined. */
  close(): void
}

/** Computes digests on the calling thread. */
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
