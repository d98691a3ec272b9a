/** The thread behind thread-digests.ts: it sees the memory of the others and only reads it. */
import { createHash, type Hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'

/** `id` names a digest, which begins with its first update. */
export type DigestOrder =
  | { readonly kind: 'update'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'digest'; readonly id: number; readonly rest: readonly Uint8Array[] }
  | { readonly kind: 'end'; readonly id: number }

/** The answer to a `digest`; those of one thread come in the order of asking. */
export interface DigestAnswer {
  readonly md5: string
}

const hashes = new Map<number, Hash>()

parentPort?.on('message', (order: DigestOrder) => {
  const { kind, id } = order
  if (kind === 'end') {
    hashes.delete(id)
    return
  }
  const hash = hashes.get(id) ?? createHash('md5')
  hashes.set(id, hash)
  if (kind === 'update') {
    hash.update(order.bytes)
    return
  }
  const all = hash.copy()
  for (const bytes of order.rest) all.update(bytes)
  const answer: DigestAnswer = { md5: all.digest('hex') }
  parentPort?.postMessage(answer)
})
