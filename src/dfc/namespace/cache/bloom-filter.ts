/**
 * A set of names that takes two bytes for each: a name that was added is always found; of a hundred others about two
 * are found as well. A Bloom filter (1970) that grows by further ones, each larger than the one before (Almeida and
 * others, Scalable Bloom Filters, 2007).
 */
import assert from 'node:assert/strict'

interface Part {
  readonly bits: Uint32Array
  readonly namesMax: number
  names: number
}

const firstNamesMax = 64
const growth = 4
const bitsForName = 16
const probes = 4

export class BloomFilter {
  readonly #parts: Part[] = []

  /** Memory that the filter takes, in bytes. */
  get bytes(): number {
    return this.#parts.reduce((sum, { bits }) => sum + bits.byteLength, 0)
  }

  has(name: string): boolean {
    const [first, step] = hashes(name)
    return this.#parts.some(({ bits }) => isSet(bits, first, step))
  }

  add(name: string): void {
    const [first, step] = hashes(name)
    if (this.#parts.some(({ bits }) => isSet(bits, first, step))) return
    const { bits, names, namesMax } = this.#partWithRoom()
    assert(names <= namesMax, 'so many that all names seem to be there')
    for (let probe = 0; probe < probes; probe += 1) {
      const at = placeOf(bits, first, step, probe)
      bits[at >>> 5] = (bits[at >>> 5] ?? 0) | (1 << (at & 31))
    }
  }

  #partWithRoom(): Part {
    const last = this.#parts.at(-1)
    if (last !== undefined && last.names < last.namesMax) {
      last.names += 1
      return last
    }
    const namesMax = last === undefined ? firstNamesMax : last.namesMax * growth
    // Where a bit is follows from a mask.
    assert(Number.isInteger(Math.log2(namesMax * bitsForName)), 'not a power of two')
    const part = { bits: new Uint32Array((namesMax * bitsForName) / 32), namesMax, names: 1 }
    this.#parts.push(part)
    return part
  }
}

function isSet(bits: Uint32Array, first: number, step: number): boolean {
  for (let probe = 0; probe < probes; probe += 1) {
    const at = placeOf(bits, first, step, probe)
    if (((bits[at >>> 5] ?? 0) & (1 << (at & 31))) === 0) return false
  }
  return true
}

/** The number of bits is a power of two. */
function placeOf({ length }: Uint32Array, first: number, step: number, probe: number): number {
  return (first + Math.imul(probe, step)) & (length * 32 - 1)
}

/** FNV-1a of the name, and two numbers made of that by the last steps of MurmurHash3. */
function hashes(name: string): readonly [number, number] {
  let hash = 0x811c9dc5
  for (let at = 0; at < name.length; at += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  }
  return [mixed(hash), mixed(hash ^ 0x9e3779b9) | 1]
}

function mixed(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35)
  return twice ^ (twice >>> 16)
}
