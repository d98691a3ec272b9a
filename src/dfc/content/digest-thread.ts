/** The thread of thread-digests.ts. It shares memory with the other threads and only reads it. */
import assert from 'node:assert/strict'
import { createHash, type Hash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { limits } from '../../limits.js'
import { version } from '../../version.js'
import { BlockChecksums } from '../../wire/checksum.js'
import type { Digested } from './digests.js'

/** `id` names a digest, which begins with its first update. */
export type DigestOrder =
  | { readonly kind: 'update'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'digest'; readonly id: number; readonly rest: readonly Uint8Array[] }
  | { readonly kind: 'end'; readonly id: number }

/** The answers to a `digest`; those of one thread come in the order of asking. */
export type DigestAnswer = Required<Digested>

interface Begun {
  readonly hash: Hash
  readonly checksums: BlockChecksums
}

// The orders of another release may mean something else.
assert.equal(workerData, version, 'another release was installed under this process')

const digests = new Map<number, Begun>()

parentPort?.on('message', (order: DigestOrder) => {
  const { kind, id } = order
  if (kind === 'end') {
    digests.delete(id)
    return
  }
  const begun = digests.get(id) ?? { hash: createHash('md5'), checksums: new BlockChecksums() }
  digests.set(id, begun)
  if (kind === 'update') add(begun, order.bytes)
  else parentPort?.postMessage(answer(begun, order.rest))
})

function answer({ hash, checksums }: Begun, rest: readonly Uint8Array[]): DigestAnswer {
  const all = { hash: hash.copy(), checksums: checksums.copy() }
  for (const bytes of rest) add(all, bytes)
  return { md5: all.hash.digest('hex'), checksums: all.checksums.finish() }
}

/** Adds bytes in portions small enough to be in the processor's cache for the second of the two digests. */
function add({ hash, checksums }: Begun, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += limits.blockBytes) {
    const portion = bytes.subarray(at, at + limits.blockBytes)
    hash.update(portion)
    checksums.add(portion)
  }
}
