/**
 * The ranges of a file that were written since it was last stored, and where their bytes are: in memory (a run), or
 * in the spill file at the offset that they have in the file. Ranges are ordered and never overlap; neighbours may
 * touch.
 *
 *   file     0    a         b        c         d    e
 *   ranges        |-- run --|        |-spilled-|run-|
 *   cover 0..e    no source, run, no source, spilled, run
 */
import assert from 'node:assert/strict'
import { type Digests, localDigests } from '../../dfc/content/digests.js'
import { limits } from '../../limits.js'
import type { ChunkPool } from './chunk-pool.js'
import { DirtyRun } from './dirty-run.js'

/** A range of a file in bytes, from `at` up to but without `end`. */
export interface Range {
  readonly at: number
  readonly end: number
}

/** A part of a requested range and the source of its bytes, undefined when they are not in this draft. */
export interface Part extends Range {
  readonly source: DirtyRun | 'spilled' | undefined
}

interface Dirty {
  at: number
  end: number
  run: DirtyRun | undefined
}

export class DirtyRanges {
  readonly #pool: ChunkPool
  readonly #digests: Digests
  readonly #ranges: Dirty[] = []
  #memoryBytes = 0
  #memoryRuns = 0

  constructor(pool: ChunkPool, digests: Digests = localDigests) {
    this.#pool = pool
    this.#digests = digests
  }

  /** End of the last range in bytes; 0 when there is none. */
  get end(): number {
    return this.#ranges.at(-1)?.end ?? 0
  }

  /** Memory that the runs take, in bytes. */
  get memoryBytes(): number {
    return this.#memoryBytes
  }

  /** Number of separate runs in memory. */
  get memoryRuns(): number {
    return this.#memoryRuns
  }

  /** The ranges in order, touching ones joined. */
  get joined(): Range[] {
    return join(this.#ranges)
  }

  /** The runs in memory, in order. */
  get runs(): DirtyRun[] {
    return this.#ranges.flatMap(({ run }) => (run === undefined ? [] : [run]))
  }

  /** The parts that make up `at` .. `end`, in order and without gaps. */
  cover(at: number, end: number): Part[] {
    const parts: Part[] = []
    let from = at
    for (let index = this.#firstBehind(at); from < end; index += 1) {
      const dirty = this.#ranges[index]
      const next = Math.min(dirty?.at ?? end, end)
      if (from < next) parts.push({ at: from, end: next, source: undefined })
      from = Math.max(from, next)
      if (dirty === undefined || from === end) continue
      const to = Math.min(dirty.end, end)
      parts.push({ at: from, end: to, source: dirty.run ?? 'spilled' })
      from = to
    }
    return parts
  }

  /** Notes bytes written at `at`, none of them over a spilled range. */
  write(at: number, bytes: Buffer): void {
    for (const part of this.cover(at, at + bytes.length)) {
      const slice = bytes.subarray(part.at - at, part.end - at)
      assert(part.source !== 'spilled', 'what is in the spill file would come back')
      if (part.source instanceof DirtyRun) part.source.overwrite(part.at, slice)
      else this.#fill(part.at, slice)
    }
  }

  /** Removes and returns a run that has the length of a segment. */
  takeFull(): DirtyRun | undefined {
    // Called at each write, and there may be very many ranges in the spill file.
    if (this.#memoryBytes < limits.segmentBytesMax) return undefined
    const index = this.#ranges.findIndex(({ run }) => run?.isFull === true)
    const run = this.#ranges[index]?.run
    if (run === undefined) return undefined
    this.#ranges.splice(index, 1)
    this.#count(run, -1)
    return run
  }

  /** Notes that the bytes of `run` are in the spill file now. */
  spilled(run: DirtyRun): void {
    const index = this.#firstBehind(run.at)
    const dirty = this.#ranges[index]
    if (dirty?.run !== run) return
    this.#count(run, -1)
    run.release()
    dirty.run = undefined
    this.#joinSpilled(index)
  }

  /** Forgets the bytes `at` .. `end`. */
  cut(at: number, end: number): void {
    for (let index = this.#firstBehind(at); ; ) {
      const dirty = this.#ranges[index]
      if (dirty === undefined || dirty.at >= end) return
      const tail = dirty.end > end ? this.#tailOf(dirty, end) : undefined
      const keepsHead = dirty.at < at
      if (keepsHead) this.#shorten(dirty, at)
      else this.#release(dirty)
      this.#ranges.splice(index + (keepsHead ? 1 : 0), keepsHead ? 0 : 1, ...(tail ? [tail] : []))
      if (tail !== undefined) return
      if (keepsHead) index += 1
    }
  }

  /** Forgets everything and gives its memory back. */
  clear(): void {
    this.cut(0, Number.POSITIVE_INFINITY)
  }

  /** Adds bytes where there is no range, at the end of the run before them if that touches and has room. */
  #fill(at: number, bytes: Buffer): void {
    let from = 0
    const index = this.#firstBehind(at)
    const before = this.#ranges[index - 1]
    if (before?.end === at && before.run !== undefined) {
      from = this.#append(before.run, bytes)
      before.end += from
      this.#assertApart(index - 1)
    }
    for (let place = index; from < bytes.length; place += 1) {
      const run = new DirtyRun(this.#pool, at + from, this.#digests)
      this.#memoryRuns += 1
      from += this.#append(run, bytes.subarray(from))
      this.#ranges.splice(place, 0, { at: run.at, end: run.end, run })
      this.#assertApart(place)
    }
  }

  #append(run: DirtyRun, bytes: Buffer): number {
    const before = run.heldBytes
    const taken = run.append(bytes)
    this.#memoryBytes += run.heldBytes - before
    return taken
  }

  /** The part of `dirty` from `at` on as a range of its own, with a copy of its bytes. */
  #tailOf(dirty: Dirty, at: number): Dirty {
    if (dirty.run === undefined) return { at, end: dirty.end, run: undefined }
    const run = new DirtyRun(this.#pool, at, this.#digests)
    this.#memoryRuns += 1
    for (const part of dirty.run.parts(at)) this.#append(run, Buffer.from(part))
    return { at, end: run.end, run }
  }

  #shorten(dirty: Dirty, end: number): void {
    dirty.end = end
    if (dirty.run === undefined) return
    const before = dirty.run.heldBytes
    dirty.run.cutAt(end)
    this.#memoryBytes += dirty.run.heldBytes - before
  }

  #release({ run }: Dirty): void {
    if (run === undefined) return
    this.#count(run, -1)
    run.release()
  }

  #count(run: DirtyRun, sign: 1 | -1): void {
    this.#memoryBytes += sign * run.heldBytes
    this.#memoryRuns += sign
    assert(this.#memoryBytes >= 0 && this.#memoryRuns >= 0, 'a run is counted out twice')
  }

  /** Asserts that the range does not overlap with its neighbours. */
  #assertApart(index: number): void {
    const [before, range, behind] = [index - 1, index, index + 1].map((at) => this.#ranges[at])
    assert(range !== undefined && range.at < range.end, 'a range without bytes')
    assert(before === undefined || before.end <= range.at, 'ranges overlap')
    assert(behind === undefined || range.end <= behind.at, 'ranges overlap')
  }

  /** Joins touching spilled ranges around `index`. */
  #joinSpilled(index: number): void {
    for (const left of [index, index - 1]) {
      const first = this.#ranges[left]
      const second = this.#ranges[left + 1]
      if (first === undefined || second === undefined) continue
      if (first.run !== undefined || second.run !== undefined || first.end !== second.at) continue
      first.end = second.end
      this.#ranges.splice(left + 1, 1)
    }
  }

  /** The index of the first range that ends behind `at`. */
  #firstBehind(at: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#ranges[middle]?.end ?? 0) <= at) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Joins ordered ranges that touch or overlap. */
export function join(ranges: Iterable<Range>): Range[] {
  const joined: { at: number; end: number }[] = []
  for (const { at, end } of ranges) {
    const last = joined.at(-1)
    if (last !== undefined && last.end >= at) last.end = Math.max(last.end, end)
    else joined.push({ at, end })
  }
  return joined
}
