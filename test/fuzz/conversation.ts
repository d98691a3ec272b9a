/**
 * What one connection sends after it has logged in, as the seed says, and what a server owes it: the
 * product's own parser, run here, says where the stream can no longer be understood.
 */
import { type NowCall, parseCalls } from '../../src/dfs/session/call.js'
import { DfsError } from '../../src/errors.js'
import { FrameParser } from '../../src/wire/frame.js'
import type { Seeded } from '../fixtures/seeded.js'
import { mutate } from './mutations.js'

const framesMax = 400
const idAt = 5
const headBytes = 9

export interface Conversation {
  readonly bytes: Buffer
  /** Whole frames in it, the one that breaks the protocol included. */
  readonly frames: number
  /** The requests that must be answered, by their ids. */
  readonly answered: readonly number[]
  /** Those that need not be, when the connection is broken: they may take longer than it lives. */
  readonly perhaps: readonly number[]
  /** The server must say so and close. */
  readonly isBroken: boolean
}

/** Valid and mutated frames. One that ends the connection is seldom wanted, and is the last. */
export function makeConversation(random: Seeded, corpus: readonly Buffer[]): Conversation {
  const count = 1 + random.below(framesMax)
  const frames: Buffer[] = []
  for (let id = 1; id <= count; id += 1) {
    const valid = corpus[random.below(corpus.length)] ?? Buffer.alloc(0)
    const frame = random.below(3) === 0 ? Buffer.from(valid) : mutate(valid, random, corpus)
    if (isUnderstood(frame)) {
      frame.writeUInt32BE(id, idAt)
      frames.push(frame)
    } else if (random.below(150) === 0) {
      frames.push(frame)
      break
    }
  }
  return judged(Buffer.concat(frames))
}

function isUnderstood(bytes: Buffer): boolean {
  if (bytes.length < headBytes) return false
  const { isBroken, frames, leftOver } = parse(bytes)
  return !isBroken && frames.length === 1 && !leftOver
}

function judged(bytes: Buffer): Conversation {
  const { frames, isBroken } = parse(bytes)
  const ids = (kind: NowCall['kind'] | 'later'): number[] =>
    frames.filter((frame) => frame.kind === kind).map(({ id }) => id)
  const [now, later] = [ids('now'), ids('later')]
  return {
    bytes,
    frames: frames.length + Number(isBroken),
    answered: isBroken ? now : [...now, ...later],
    perhaps: isBroken ? later : [],
    isBroken,
  }
}

interface Parsed {
  readonly frames: readonly { readonly id: number; readonly kind: 'now' | 'later' }[]
  readonly isBroken: boolean
  /** Bytes of a frame that is not complete. */
  readonly leftOver: boolean
}

function parse(bytes: Buffer): Parsed {
  const frames: { id: number; kind: 'now' | 'later' }[] = []
  let end = 0
  const parser = new FrameParser((frame) => {
    end += frame.reader.bytes.length + 4
    const [call] = parseCalls(frame)
    if (call !== undefined) frames.push({ id: call.id, kind: call.kind })
  })
  try {
    parser.feed(bytes)
  } catch (thrown) {
    if (thrown instanceof DfsError) return { frames, isBroken: true, leftOver: false }
    throw thrown
  }
  return { frames, isBroken: false, leftOver: end < bytes.length }
}
