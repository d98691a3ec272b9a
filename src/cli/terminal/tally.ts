/**
 * Counts what a transfer has done and what there is in all, in files and bytes. A file that turns out not to be moved
 * leaves the total, and bytes that have to be moved after all are added, so that the rest is always what is still to come.
 */
import type { Clock } from '../../clock.js'
import { countText, elapsedText, sizeText } from './format.js'
import { Rate } from './rate.js'

/** The time that a file takes beside that of its content, in bytes that take as long. */
const fileCostBytes = 256 * 1024

/** The result of a transfer in numbers. */
export interface Sum {
  /** Files and links that were moved. */
  readonly files: number
  readonly bytes: number
  readonly skipped: number
  readonly deleted: number
  readonly failed: number
  readonly ms: number
}

/** Files, and their bytes without holes. */
interface Amount {
  files: number
  bytes: number
}

/** How a file ended: it was sent or fetched, it was as it should be, or it is another name of one that was moved. */
type Outcome = 'moved' | 'skipped' | 'linked'

export class Tally {
  readonly #clock: Clock
  readonly #startedMs: number
  readonly #counted: Amount = { files: 0, bytes: 0 }
  /** Files and bytes that were counted and are not to be done. Fewer than none are bytes that came on top. */
  readonly #dropped: Amount = { files: 0, bytes: 0 }
  readonly #done: Amount = { files: 0, bytes: 0 }
  readonly #outcomes: Record<Outcome, number> = { moved: 0, skipped: 0, linked: 0 }
  readonly #byteRate: Rate
  readonly #workRate: Rate
  #isCounted = false
  #movedBytes = 0
  #deleted = 0
  #failed = 0
  #progress = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedMs = clock.monotonic()
    this.#byteRate = new Rate(this.#startedMs)
    this.#workRate = new Rate(this.#startedMs)
  }

  /** Counts a file that is to be transferred, of as many bytes as it will be begun with. */
  expect(bytes: number): void {
    this.#counted.files += 1
    this.#counted.bytes += bytes
  }

  /** Everything that is to be done is counted. */
  counted(): void {
    this.#isCounted = true
  }

  get isCounted(): boolean {
    return this.#isCounted
  }

  /** Begins a file. `bytes` is undefined when its size is not known. */
  begin(bytes: number | undefined): FileTally {
    return new FileTally(bytes, {
      moved: (count) => {
        this.#movedBytes += count
        this.#byteRate.note(this.#clock.monotonic(), this.#movedBytes)
        this.#add(0, count)
      },
      found: (count) => this.#add(0, count),
      dropped: (count) => {
        this.#dropped.bytes += count
      },
      ended: (outcome) => {
        if (outcome !== undefined) this.#outcomes[outcome] += 1
        if (outcome === undefined) this.#dropped.files += 1
        else this.#add(1, 0)
      },
    })
  }

  deleted(): void {
    this.#deleted += 1
  }

  failed(): void {
    this.#failed += 1
  }

  /** The files and bytes that are done. */
  get done(): Readonly<Amount> {
    return this.#done
  }

  /** The files and bytes that there are in all, done or not, as far as they are counted. */
  get total(): Readonly<Amount> {
    const { files, bytes } = this.#counted
    if (!this.#isCounted) return this.#counted
    return { files: files - this.#dropped.files, bytes: bytes - this.#dropped.bytes }
  }

  /** How much of everything is done, from 0 to 1. It never goes back, also when something has to be done twice. */
  get progress(): number {
    const total = workOf(this.total)
    const progress = total <= 0 ? 0 : Math.min(1, workOf(this.#done) / total)
    this.#progress = Math.max(this.#progress, progress)
    return this.#progress
  }

  /** Bytes that moved in a second; undefined while that cannot be said. */
  get bytesPerSecond(): number | undefined {
    return this.#byteRate.perSecond(this.#clock.monotonic())
  }

  /** The time that the rest takes at the pace of the last seconds; undefined while that cannot be said. */
  get leftMs(): number | undefined {
    const perSecond = this.#workRate.perSecond(this.#clock.monotonic())
    const left = Math.max(0, workOf(this.total) - workOf(this.#done))
    return perSecond === undefined || perSecond === 0 ? undefined : (left / perSecond) * 1000
  }

  get sum(): Sum {
    const { moved, linked, skipped } = this.#outcomes
    return {
      files: moved + linked,
      bytes: this.#movedBytes,
      skipped,
      deleted: this.#deleted,
      failed: this.#failed,
      ms: this.#clock.monotonic() - this.#startedMs,
    }
  }

  #add(files: number, bytes: number): void {
    this.#done.files += files
    this.#done.bytes += bytes
    this.#workRate.note(this.#clock.monotonic(), workOf(this.#done))
  }
}

interface FileEvents {
  readonly moved: (bytes: number) => void
  readonly found: (bytes: number) => void
  readonly dropped: (bytes: number) => void
  readonly ended: (outcome: Outcome | undefined) => void
}

/** The part of one file in the tally. */
export class FileTally {
  /** Undefined when its size is not known. */
  readonly bytes: number | undefined
  readonly #events: FileEvents
  #doneBytes = 0
  #outcome: Outcome | undefined

  constructor(bytes: number | undefined, events: FileEvents) {
    this.bytes = bytes
    this.#events = events
  }

  get doneBytes(): number {
    return this.#doneBytes
  }

  /** Bytes were sent or fetched. */
  moved(bytes: number): void {
    this.#doneBytes += bytes
    this.#events.moved(bytes)
  }

  /** Bytes were looked at and need not be moved, as far as can be said yet. */
  found(bytes: number): void {
    const rest = (this.bytes ?? 0) - this.#doneBytes
    const count = Math.max(0, Math.min(bytes, rest))
    this.#doneBytes += count
    this.#events.found(count)
  }

  /** Only the first `bytes` are done: of what was found the rest has to be moved after all. */
  goBackTo(bytes: number): void {
    this.#events.dropped(bytes - this.#doneBytes)
    this.#doneBytes = bytes
  }

  /** The file is stored, or fetched; or as it should be; or another name of one that was moved. */
  finish(outcome: Outcome): void {
    this.#outcome = outcome
  }

  /** Ends it. What it was counted with and has not done is not to be done. */
  end(): void {
    if (this.bytes !== undefined) this.#events.dropped(this.bytes - this.#doneBytes)
    this.#events.ended(this.#outcome)
  }
}

/** Formats a sum: `12 files, 3.4 GiB in 1 min 3 s (55 MiB/s); 3 skipped, 1 failed`. */
export function sumText({ files, bytes, skipped, deleted, failed, ms }: Sum): string {
  const rate = ms === 0 ? '' : ` (${sizeText((bytes * 1000) / ms)}/s)`
  const moved = `${countText(files, 'file')}, ${sizeText(bytes)} in ${elapsedText(ms)}${rate}`
  const gone = deleted === 0 ? '' : `${deleted} deleted, `
  return `${moved}; ${skipped} skipped, ${gone}${failed} failed`
}

function workOf({ files, bytes }: Readonly<Amount>): number {
  return bytes + files * fileCostBytes
}
