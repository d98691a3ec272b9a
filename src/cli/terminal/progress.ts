/**
 * The progress of a transfer. On a terminal it is drawn, once the transfer has taken a second, as a bar for each file on
 * its way and a line for all of them. Without a terminal it only counts.
 */
import { MultiBar } from 'cli-progress'
import type { Clock, Timer } from '../../clock.js'
import { escapeName } from '../../visible-text.js'
import { barText, countText, cutColumns, fitColumns, sizeText, timeLeftText } from './format.js'
import type { Output } from './output.js'
import { type FileTally, Tally } from './tally.js'

const patienceMs = 1000
const nameColumnsMin = 12
/** A time that is left beyond this, in ms, is not shown. */
const tellableMs = 24 * 3600 * 1000
/** Columns of a file's bar beside its name. */
const barColumns = 56
/** On a terminal of fewer columns a file, or the line about all files, has a percentage without a bar. */
const columnsForBars = { file: nameColumnsMin + barColumns, total: 100 }

/** A place on the terminal for one file at a time. */
interface Lane {
  file: FileProgress | undefined
}

export class Progress {
  readonly tally: Tally
  readonly #timer: Timer | undefined
  readonly #lanes: Lane[] = []
  #bars: MultiBar | undefined
  #release: (() => void) | undefined

  constructor(output: Output, clock: Clock, hasBars = true) {
    this.tally = new Tally(clock)
    const stream = hasBars ? output.bars : undefined
    if (stream !== undefined) {
      this.#timer = clock.after(patienceMs, () => this.#show(output, stream))
    }
  }

  /** Whether somebody may see a percentage, so that what there is in all is worth counting. */
  get isWatched(): boolean {
    return this.#timer !== undefined
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
    const file = new FileProgress(name, this.tally.begin(bytes), () => {
      taken.file = undefined
    })
    taken.file = file
    return file
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
    this.#addLine(bars, (columns) => totalLine(this.tally, columns))
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
    this.#addLine(bars, (columns) => lane.file?.line(columns) ?? '')
  }

  #addLine(bars: MultiBar, line: (columns: number) => string): void {
    const format = (_options: unknown, { maxWidth }: { maxWidth: number }): string =>
      cutColumns(line(maxWidth), maxWidth - 1)
    bars.create(1, 0, undefined, { format })
  }
}

/** The progress of one file. */
export class FileProgress {
  readonly tally: FileTally
  readonly #name: string
  readonly #ended: () => void

  constructor(name: string, tally: FileTally, ended: () => void) {
    this.#name = escapeName(name)
    this.tally = tally
    this.#ended = ended
  }

  /** Ends it, as what its tally says or, without that, as a failure. */
  end(): void {
    this.tally.end()
    this.#ended()
  }

  /** The file's line on a terminal of `columns`. */
  line(columns: number): string {
    const { bytes, doneBytes } = this.tally
    const hasBar = columns >= columnsForBars.file
    const beside = hasBar ? barColumns : 7
    const name = fitColumns(this.#name, Math.max(nameColumnsMin, columns - beside))
    if (bytes === undefined) return joined(name, sizeText(doneBytes))
    const progress = bytes === 0 ? 1 : Math.min(1, doneBytes / bytes)
    return joined(
      name,
      percentText(progress, hasBar),
      `${sizeText(doneBytes)} of ${sizeText(bytes)}`,
    )
  }
}

/** The line about all files, on a terminal of `columns`. */
function totalLine(tally: Tally, columns: number): string {
  const { bytesPerSecond, done, total, leftMs } = tally
  const rate = bytesPerSecond === undefined ? '' : `${sizeText(bytesPerSecond)}/s`
  const doneText = sizeText(done.bytes)
  if (!tally.isCounted) {
    if (total.files === 0) return joined(`${doneText} done`, rate)
    const seen = `${countText(total.files, 'file')}, ${sizeText(total.bytes)} counted so far`
    return joined(seen, `${doneText} done`, rate)
  }
  return joined(
    percentText(tally.progress, columns >= columnsForBars.total),
    `${doneText} of ${sizeText(total.bytes)}`,
    `${done.files} of ${countText(total.files, 'file')}`,
    rate,
    leftMs === undefined || leftMs > tellableMs ? '' : `${timeLeftText(leftMs)} left`,
  )
}

function percentText(progress: number, hasBar: boolean): string {
  const percent = `${Math.floor(progress * 100)}%`.padStart(4)
  return hasBar ? `${barText(progress)} ${percent}` : percent
}

function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('  ')
}
