/**
 * Contents that tell what they are: every byte follows from the number of the write and its place, so
 * that bytes of two writes can never pass for one whole content.
 */
import type { Content } from '../../src/dfc/content/content.js'
import type { Seeded } from '../fixtures/seeded.js'
import { between, weighted } from './chance.js'

export class Contents {
  readonly #expected = new Map<string, Buffer>()
  #number = 0

  constructor() {
    this.#expected.set(contentKey({ size: 0, segments: [], extents: [] }), Buffer.alloc(0))
  }

  /** Bytes that nobody has written before. */
  make(random: Seeded): Buffer {
    this.#number += 1
    const length = lengthOf(random)
    const words = new Uint32Array(Math.ceil(length / 4))
    for (let word = 0; word < words.length; word += 1) {
      words[word] = Math.imul(this.#number, 0x9e3779b1) + word
    }
    return Buffer.from(words.buffer, 0, length)
  }

  /** Takes note of what the bytes of `content` are. */
  expect(content: Content, bytes: Buffer): void {
    this.#expected.set(contentKey(content), bytes)
  }

  /** What they must be; undefined when nobody wrote such a content. */
  of(content: Content): Buffer | undefined {
    return this.#expected.get(contentKey(content))
  }
}

function lengthOf(random: Seeded): number {
  switch (weighted(random, { tiny: 30, small: 55, blocks: 14, large: 1 })) {
    case 'tiny':
      return random.below(9)
    case 'small':
      return between(random, 10, 3000)
    case 'blocks':
      return between(random, 60_000, 140_000)
    case 'large':
      return between(random, 260_000, 600_000)
  }
}

function contentKey({ size, segments, extents }: Content): string {
  const places = extents.map(({ at, segment, offset, length }) => [at, segment, offset, length])
  return JSON.stringify([size, segments.map(({ id }) => id), places])
}
