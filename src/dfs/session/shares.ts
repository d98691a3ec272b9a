/**
 * Shares of what a server has only so much of: memory for frames that are arriving, and descriptors for pieces that
 * are. What one user leaves unfinished is bounded, so that there is enough for all others.
 */
import assert from 'node:assert/strict'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

/** A connection on which a frame is arriving. */
export interface FrameReceiver {
  readonly user: string
  /** Stops (true) or resumes reading from the peer. */
  holdBack(isHeldBack: boolean): void
}

interface UserFrames {
  readonly receiving: Map<FrameReceiver, number>
  /** Bytes of the frames in `receiving`. */
  bytes: number
  /** Connections that are not read from until there is room for their frames. */
  readonly waiting: Map<FrameReceiver, number>
}

/** Memory for frames of which a part has arrived. */
export class FrameShares {
  readonly #users = new Map<string, UserFrames>()

  /** Notes that a frame of so many bytes is arriving. Without room for it, its connection is held back. */
  begin(receiver: FrameReceiver, bytes: number): void {
    const frames = this.#users.get(receiver.user) ?? {
      receiving: new Map(),
      bytes: 0,
      waiting: new Map(),
    }
    this.#users.set(receiver.user, frames)
    assert(!frames.receiving.has(receiver) && !frames.waiting.has(receiver), 'one frame at a time')
    if (hasRoom(frames, bytes)) receive(frames, receiver, bytes)
    else {
      frames.waiting.set(receiver, bytes)
      receiver.holdBack(true)
    }
  }

  /** Notes that the frame is whole, or will never be. Harmless when none was begun. */
  end(receiver: FrameReceiver): void {
    const frames = this.#users.get(receiver.user)
    if (frames === undefined) return
    if (frames.waiting.delete(receiver)) receiver.holdBack(false)
    frames.bytes -= frames.receiving.get(receiver) ?? 0
    frames.receiving.delete(receiver)
    for (const [next, bytes] of frames.waiting) {
      if (!hasRoom(frames, bytes)) break
      frames.waiting.delete(next)
      receive(frames, next, bytes)
      next.holdBack(false)
    }
    if (frames.receiving.size === 0) this.#users.delete(receiver.user)
    assert(frames.receiving.size > 0 || frames.waiting.size === 0, 'it waits for nothing')
  }
}

function hasRoom({ receiving, bytes }: UserFrames, more: number): boolean {
  return receiving.size === 0 || bytes + more <= limits.userFrameBytesMax
}

function receive(frames: UserFrames, receiver: FrameReceiver, bytes: number): void {
  frames.receiving.set(receiver, bytes)
  frames.bytes += bytes
}

/** Descriptors for pieces of which a part has arrived. */
export class UploadShares {
  readonly #countMax: number
  readonly #counts = new Map<string, number>()
  #count = 0

  /** `countMax`: pieces that this process can write at once. */
  constructor(countMax: number) {
    this.#countMax = countMax
  }

  /**
   * Counts one more piece of a user. Nobody gets more than half of what the others have left, so that there is
   * always something left. Throws `overloaded`.
   */
  begin(user: string): void {
    const own = this.#counts.get(user) ?? 0
    const left = this.#countMax - (this.#count - own)
    if (own + 1 > left / 2) {
      throw new DfsError('overloaded', 'This user stores too many pieces at once; finish some')
    }
    this.#counts.set(user, own + 1)
    this.#count += 1
  }

  /** The piece is there, or will never be. */
  end(user: string): void {
    const own = this.#counts.get(user) ?? 0
    assert(own > 0, 'a piece ends that was not begun')
    if (own === 1) this.#counts.delete(user)
    else this.#counts.set(user, own - 1)
    this.#count -= 1
  }
}
