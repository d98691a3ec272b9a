/** Choices by a seeded generator. */
import { Seeded } from '../fixtures/seeded.js'

export function chance(random: Seeded, probability: number): boolean {
  return random.below(1_000_000) < probability * 1_000_000
}

export function pick<T>(random: Seeded, from: readonly T[]): T {
  return from[random.below(from.length)] as T
}

/** A whole number in `least` .. `most`. */
export function between(random: Seeded, least: number, most: number): number {
  return least + random.below(most - least + 1)
}

/** A generator of its own, so that what one participant draws does not shift the others. */
export function fork(random: Seeded): Seeded {
  return new Seeded(random.below(0x1_0000_0000))
}

/** One of the keys of `weights`, as often as its weight says. */
export function weighted<K extends string>(
  random: Seeded,
  weights: Readonly<Record<K, number>>,
): K {
  const names = Object.keys(weights) as K[]
  const total = names.reduce((sum, name) => sum + weights[name], 0)
  let drawn = random.below(total)
  for (const name of names) {
    drawn -= weights[name]
    if (drawn < 0) return name
  }
  throw new RangeError('no weights')
}
