/**
 * The progress of a transfer: what it has moved, and what there is in all as far as that is counted. On a terminal it is
 * drawn, once the transfer has taken a second, as a bar for each file on its way and a line for all of them. Without a
 * terminal it only counts.
 */
import { MultiBar } from 'cli-progress'
import type { Clock, Timer } from '../../clock.js'
import { escapeName } from '../../visible-text.js'
import {
  barText,
  countText,
  cutColumns,
  elapsedText,
  fitColumns,
  sizeText,
  timeLeftText,
} from './format.js'
import type { Output } from './output.js'
import { Rate } from './rate.js'

const patienceMs = 1000
const nameColumnsMin = 12
/** A time that is left beyond this, in seconds, is not shown. */
const tellableSeconds = 24 * 3600
/** Columns of a file's bar beside its name. */
const barColumns = 56

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

/** A place on the terminal for one file at a time. */
interface Lane {
  file: FileProgress | undefined
}

export class Progress {
  readonly #clock: Clock
  readonly #startedMs: number
  readonly #rate: Rate
  readonly #timer: Timer | undefined
  readonly #lanes: Lane[] = []
  readonly #expected = { files: 0, bytes: 0 }
  #isCounted = false
  readonly #done = { files: 0, bytes: 0 }
  /** Bytes that were moved. Those that were there already are done and were not moved. */
  #movedBytes = 0
  #skipped = 0
  #deleted = 0
  #failed = 0
  #bars: MultiBar | undefined
  #release: (() => void) | undefined

  constructor(output: Output, clock: Clock, hasBars = true) {
    this.#clock = clock
    this.#startedMs = clock.monotonic()
    this.#rate = new Rate(this.#startedMs)
    const stream = hasBars ? output.bars : undefined
    if (stream !== undefined) {
      this.#timer = clock.after(patienceMs, () => this.#show(output, stream))
    }
  }

  /** Whether somebody may see a percentage, so that what there is in all is worth counting. */
  get isWatched(): boolean {
    return this.#timer !== undefined
  }

  /** Counts what is to be done. */
  expect(bytes: number): void {
    this.#expected.files += 1
    this.#expected.bytes += bytes
  }

  /** Everything that is to be done is counted. */
  counted(): void {
    this.#isCounted = true
  }

  /** Begins a file. `bytes` is undefined when its size is not known. */
  begin(name: string, bytes: number | undefined): FileProgress {
    let lane = this.#lanes.find(({ file }) => file === undefined)
    if (lane === undefined) {
      lane = { file: undefined }
      this.#lanes.push(lane)
      if (this.#bars !== undefined) this.#addBar(this.#bars, lane)
    }
    const taken = lane
    const file = new FileProgress(name, bytes, {
      moved: (count) => {
        this.#done.bytes += count
        this.#movedBytes += count
        this.#rate.note(this.#clock.monotonic(), this.#movedBytes)
      },
      found: (count) => {
        this.#done.bytes += count
      },
      ended: () => {
        taken.file = undefined
      },
    })
    taken.file = file
    return file
  }

  /** A file is stored, or fetched. */
  finished(): void {
    this.#done.files += 1
  }

  /** A file of `bytes` is as it should be. */
  skipped(bytes: number): void {
    this.#skipped += 1
    this.#expected.files -= 1
    this.#expected.bytes -= bytes
  }

  /** A file of `bytes` is another name of one that was moved. */
  linked(bytes: number): void {
    this.#done.files += 1
    this.#expected.bytes -= bytes
  }

  deleted(): void {
    this.#deleted += 1
  }

  failed(): void {
    this.#failed += 1
  }

  get sum(): Sum {
    return {
      files: this.#done.files,
      bytes: this.#movedBytes,
      skipped: this.#skipped,
      deleted: this.#deleted,
      failed: this.#failed,
      ms: this.#clock.monotonic() - this.#startedMs,
    }
  }

  /** Whether the bars have been shown. */
  get wasShown(): boolean {
    return this.#bars !== undefined
  }

  /** Removes the bars from the terminal. */
  stop(): void {
    this.#timer?.cancel()
    this.#bars?.stop()
    this.#release?.()
    this.#release = undefined
  }

  #show(output: Output, stream: NodeJS.WriteStream): void {
    const bars = new MultiBar({
      stream,
      linewrap: true,
      clearOnComplete: true,
      forceRedraw: true,
      gracefulExit: false,
    })
    this.#bars = bars
    // The first line is that of all files, so that those of single files come and go below it.
    bars.create(1, 0, undefined, {
      format: () => cutColumns(this.#totalLine(), stream.columns - 1),
    })
    for (const lane of this.#lanes) this.#addBar(bars, lane)
    this.#release = output.occupy({
      erase: () => bars.stop(),
      draw() {
        bars.isActive = true
        bars.update()
      },
      end: () => this.stop(),
    })
  }

  #addBar(bars: MultiBar, lane: Lane): void {
    const format = (_options: unknown, { maxWidth }: { maxWidth: number }): string =>
      cutColumns(lane.file?.line(maxWidth) ?? '', maxWidth - 1)
    bars.create(1, 0, undefined, { format })
  }

  #totalLine(): string {
    const rate = this.#rate.perSecond(this.#clock.monotonic())
    const rateText = rate === undefined ? '' : `${sizeText(rate)}/s`
    const { files, bytes } = this.#expected
    if (!this.#isCounted) {
      if (files === 0) return joined(`${sizeText(this.#done.bytes)} done`, rateText)
      const seen = `${countText(files, 'file')}, ${sizeText(bytes)} counted so far`
      return joined(`${seen}, ${sizeText(this.#done.bytes)} done`, rateText)
    }
    const progress = bytes === 0 ? 0 : Math.min(1, this.#done.bytes / bytes)
    const left = Math.max(0, bytes - this.#done.bytes)
    return joined(
      `${barText(progress)} ${percentText(progress)}`,
      `${sizeText(this.#done.bytes)} of ${sizeText(bytes)}`,
      `${this.#done.files} of ${countText(files, 'file')}`,
      rateText,
      leftText(left, rate),
    )
  }
}

interface FileEvents {
  readonly moved: (bytes: number) => void
  readonly found: (bytes: number) => void
  readonly ended: () => void
}

/** The progress of one file. */
export class FileProgress {
  readonly #name: string
  readonly #bytes: number | undefined
  readonly #events: FileEvents
  #doneBytes = 0

  constructor(name: string, bytes: number | undefined, events: FileEvents) {
    this.#name = escapeName(name)
    this.#bytes = bytes
    this.#events = events
  }

  /** Bytes were sent or fetched. */
  moved(bytes: number): void {
    this.#doneBytes += bytes
    this.#events.moved(bytes)
  }

  /** Bytes need not be moved: they are there, or are a hole. */
  found(bytes: number): void {
    this.#doneBytes += bytes
    this.#events.found(bytes)
  }

  end(): void {
    this.#events.ended()
  }

  /** The file's line on a terminal of `columns`. */
  line(columns: number): string {
    const name = fitColumns(this.#name, Math.max(nameColumnsMin, columns - barColumns))
    if (this.#bytes === undefined) return joined(name, sizeText(this.#doneBytes))
    const progress = this.#bytes === 0 ? 1 : Math.min(1, this.#doneBytes / this.#bytes)
    const amount = `${sizeText(this.#doneBytes)} of ${sizeText(this.#bytes)}`
    return joined(name, `${barText(progress)} ${percentText(progress)}`, amount)
  }
}

/** Formats a sum: `12 files, 3.4 GiB in 1 min 3 s (55 MiB/s); 3 skipped, 1 failed`. */
export function sumText({ files, bytes, skipped, deleted, failed, ms }: Sum): string {
  const rate = ms === 0 ? '' : ` (${sizeText((bytes * 1000) / ms)}/s)`
  const moved = `${countText(files, 'file')}, ${sizeText(bytes)} in ${elapsedText(ms)}${rate}`
  const gone = deleted === 0 ? '' : `${deleted} deleted, `
  return `${moved}; ${skipped} skipped, ${gone}${failed} failed`
}

/** Formats the time that `bytes` take at a rate. Far ahead nobody can tell. */
function leftText(bytes: number, perSecond: number | undefined): string {
  if (perSecond === undefined || bytes > perSecond * tellableSeconds) return ''
  return perSecond === 0 ? '' : `${timeLeftText((bytes / perSecond) * 1000)} left`
}

function percentText(progress: number): string {
  return `${Math.floor(progress * 100)}%`.padStart(4)
}

function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('  ')
}
