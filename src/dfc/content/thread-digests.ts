/**
 * Digests computed by a thread beside the one that serves requests. Bytes in shared memory (`sharedBuffer`) are not
 * copied for it, others are. The thread is started by the first digest and keeps no process alive; when it fails, the
 * digests are computed without it. So they are where another release has been installed under this process before.
 */
import assert from 'node:assert/strict'
import { Worker } from 'node:worker_threads'
import { debugDfc } from '../../log.js'
import { version } from '../../version.js'
import type { DigestAnswer, DigestOrder } from './digest-thread.js'
import type { Digest, Digested, Digests } from './digests.js'

/** Allocates memory that the thread can read. Its content is undefined. */
export function sharedBuffer(bytes: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(bytes))
}

export class ThreadDigests implements Digests {
  #thread: Worker | undefined
  #isClosed = false
  #hasFailed = false
  #nextId = 1
  /** Callers that wait for an answer of the thread, in the order of asking. */
  #waiting: ((digested: Digested | undefined) => void)[] = []

  begin(): Digest {
    const id = this.#nextId
    this.#nextId += 1
    const thread = this.#running()
    const isUsable = (): boolean => thread !== undefined && thread === this.#thread
    return {
      update: (bytes) => {
        if (isUsable()) this.#order({ kind: 'update', id, bytes: visible(bytes) })
      },
      digest: (rest) => {
        if (!isUsable()) return Promise.resolve(undefined)
        this.#order({ kind: 'digest', id, rest: rest.map(visible) })
        return new Promise((resolve) => {
          this.#waiting.push(resolve)
          thread?.ref()
        })
      },
      end: () => {
        if (isUsable()) this.#order({ kind: 'end', id })
      },
    }
  }

  close(): void {
    this.#isClosed = true
    void this.#thread?.terminate()
    this.#giveUp()
  }

  #order(order: DigestOrder): void {
    this.#thread?.postMessage(order)
  }

  #running(): Worker | undefined {
    if (this.#isClosed || this.#hasFailed) return undefined
    if (this.#thread !== undefined) return this.#thread
    const thread = new Worker(new URL('./digest-thread.js', import.meta.url), {
      execArgv: [],
      workerData: version,
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 },
    })
    thread.unref()
    thread.on('message', (answer: DigestAnswer) => {
      // This thread was given up, and the callers wait for another one by now.
      if (this.#thread !== thread) return
      const waiting = this.#waiting.shift()
      assert(waiting !== undefined, 'a digest that was not asked for')
      waiting(answer)
      if (this.#waiting.length === 0) thread.unref()
    })
    thread.on('error', (error) => {
      this.#hasFailed = true
      debugDfc('the thread for digests failed: %o', error)
    })
    thread.on('exit', () => {
      if (this.#thread === thread) this.#giveUp()
    })
    this.#thread = thread
    return thread
  }

  #giveUp(): void {
    this.#thread = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve(undefined)
  }
}

/** The bytes as the thread can see them: only shared memory is passed on as it is. */
function visible(bytes: Buffer): Uint8Array {
  const { buffer, byteOffset, length } = bytes
  if (buffer instanceof SharedArrayBuffer) return new Uint8Array(buffer, byteOffset, length)
  return Uint8Array.from(bytes)
}
