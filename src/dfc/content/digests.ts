/**
 * The digest of a segment, made while its bytes come in. MD5 takes longer than everything else that a
 * client does with a byte, so that programs which write much have it made by a thread of their own
 * (thread-digests.ts), and the checksums with it; in between stands this interface.
 */
import { createHash } from 'node:crypto'

export interface Digested {
  /** As hexadecimal digits. */
  readonly md5: string
  /** Of each 64 KiB, if they were made on the way. */
  readonly checksums?: readonly number[]
}

/** The digest of one segment. */
export interface Digest {
  /** Takes in what comes next. The bytes must not change as long as the digest is wanted. */
  update(bytes: Buffer): void
  /**
   * Of all so far and of `rest`, after which it may go on without `rest`. undefined when it could not
   * be made: then the bytes have to be read again.
   */
  digest(rest: readonly Buffer[]): Promise<Digested | undefined>
  /** Nobody wants it any more. */
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
