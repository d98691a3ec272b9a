/**
 * What is done to a valid frame. Most leave the length in front true, so that the decoders behind the
 * frames are reached; some lie about it; some are no frame at all.
 */
import { limits } from '../../src/limits.js'
import type { Seeded } from '../fixtures/seeded.js'
import { verbs } from './corpus.js'

type Mutation = (frame: Buffer, random: Seeded, corpus: readonly Buffer[]) => Buffer

const prefixBytes = 4
const headBytes = 9
const interesting = [0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff]

const mutations: Readonly<Record<string, Mutation>> = {
  /** Bits flip in the fields, the kind or the payload. */
  flip(frame, random) {
    const bytes = Buffer.from(frame)
    for (let count = 1 + random.below(4); count > 0; count -= 1) {
      const at = prefixBytes + random.below(bytes.length - prefixBytes)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
    }
    return bytes
  },

  /** A number, a count or a length becomes another one. */
  number(frame, random) {
    const bytes = Buffer.from(frame)
    const width = [1, 2, 4][random.below(3)] ?? 1
    const at = prefixBytes + random.below(Math.max(1, bytes.length - prefixBytes - width))
    const value = interesting[random.below(interesting.length)] ?? 0
    if (at + width <= bytes.length) bytes.writeUIntBE(value % 2 ** (8 * width), at, width)
    return bytes
  },

  /** The fields of one message under the number of another. */
  kind(frame, random) {
    const bytes = Buffer.from(frame)
    bytes[prefixBytes] = random.below(4) === 0 ? random.below(256) : random.below(verbs.length + 12)
    return bytes
  },

  truncate: (frame, random) =>
    withLength(frame.subarray(0, headBytes + belowLength(frame, random))),

  /** The head of one message and the tail of another. */
  splice(frame, random, corpus) {
    const other = corpus[random.below(corpus.length)] ?? frame
    const head = frame.subarray(0, headBytes + belowLength(frame, random))
    return withLength(Buffer.concat([head, other.subarray(headBytes + belowLength(other, random))]))
  },

  /** A range of the message stands in it twice, or not at all. */
  repeat(frame, random) {
    const from = headBytes + belowLength(frame, random)
    const to = from + random.below(frame.length - from + 1)
    const times = random.below(3) === 0 ? 0 : 2 + random.below(20)
    const middle = Array.from({ length: times }, () => frame.subarray(from, to))
    return withLength(Buffer.concat([frame.subarray(0, from), ...middle, frame.subarray(to)]))
  },

  /** Much more than a message has, up to the largest frame. */
  grow(frame, random) {
    const room = limits.frameBytesMax + prefixBytes - frame.length
    const length = random.below(20) === 0 ? random.below(room) : random.below(20_000)
    return withLength(Buffer.concat([frame, Buffer.alloc(length, random.below(256))]))
  },

  random(_frame, random) {
    const bytes = withLength(random.bytes(headBytes + random.below(200)))
    bytes[prefixBytes] = random.below(verbs.length + 12)
    return bytes
  },

  /** The announced length is not that of what follows. */
  lengthLie(frame, random) {
    const bytes = Buffer.from(frame)
    const near = bytes.length - prefixBytes - 8 + random.below(16)
    const far = interesting[random.below(interesting.length)] ?? 0
    bytes.writeUInt32BE(random.below(2) === 0 ? Math.max(0, near) : far)
    return bytes
  },

  garbage: (_frame, random) => random.bytes(1 + random.below(300)),
}

const table = Object.values(mutations)

export function mutate(frame: Buffer, random: Seeded, corpus: readonly Buffer[]): Buffer {
  const mutation = table[random.below(table.length)] ?? mutations.flip
  return mutation?.(frame, random, corpus) ?? frame
}

/** How many of the bytes behind a frame's head, perhaps all. */
function belowLength(frame: Buffer, random: Seeded): number {
  return random.below(frame.length - headBytes + 1)
}

/** The same bytes behind a length that is theirs. */
function withLength(bytes: Buffer): Buffer {
  const frame = Buffer.from(bytes.subarray(0, limits.frameBytesMax + prefixBytes))
  frame.writeUInt32BE(frame.length - prefixBytes)
  return frame
}
