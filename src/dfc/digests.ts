/**
 * The MD5 of a segment, made while its bytes come in. It takes longer than everything else that a
 * client does with a byte, so that programs which write much have it made by a thread of their own
 * (thread-digests.ts); in between stands this interface.
 */
import { createHash } from 'node:crypto'

/** The digest of one segment. */
export interface Digest {
  /** Takes in what comes next. The bytes must not change as long as the digest is wanted. */
  update(bytes: Buffer): void
  /**
   * The MD5 of all so far and of `rest`, as hexadecimal digits, after which it may go on without
   * `rest`. undefined when it could not be made: then the bytes have to be read again.
   */
  digest(rest: readonly Buffer[]): Promise<string | undefined>
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
        return all.digest('hex')
      },
      end() {},
    }
  },
  close() {},
}
