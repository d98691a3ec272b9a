/**
 * The progress of one transfer, drawn as a bar on the terminal once the transfer has taken a second.
 * Without a terminal it only counts.
 */
import { clearLine, cursorTo } from 'node:readline'
import { SingleBar } from 'cli-progress'
import type { Clock, Timer } from '../../clock.js'
import { escapeName } from '../../visible-text.js'
import { barText, fitColumns, sizeText } from './format.js'
import type { Output } from './output.js'

const patienceMs = 1000
const nameColumns = 24

export class Progress {
  readonly #clock: Clock
  readonly #startedMs: number
  readonly #timer: Timer | undefined
  #expectedBytes = 0
  #doneBytes = 0
  #name = ''
  #bar: SingleBar | undefined
  #release: (() => void) | undefined

  constructor(output: Output, clock: Clock) {
    this.#clock = clock
    this.#startedMs = clock.monotonic()
    const stream = output.bars
    if (stream !== undefined)
      this.#timer = clock.after(patienceMs, () => this.#show(output, stream))
  }

  /** Announces the transfer of a file of `bytes` bytes. */
  expect(name: string, bytes: number): void {
    this.#name = escapeName(name)
    this.#expectedBytes += bytes
    this.#bar?.setTotal(this.#expectedBytes)
  }

  /** Yields `chunks` unchanged and counts them. */
  async *count(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      yield chunk
      this.#doneBytes += chunk.length
      this.#bar?.update(this.#doneBytes)
    }
  }

  /** Removes the bar from the terminal. */
  stop(): void {
    this.#timer?.cancel()
    this.#bar?.stop()
    this.#bar = undefined
    this.#release?.()
  }

  #show(output: Output, stream: NodeJS.WriteStream): void {
    const bar = new SingleBar({
      stream,
      format: (_options, { progress, value, total }) => this.#line(progress, value, total),
      clearOnComplete: true,
      forceRedraw: true,
      gracefulExit: false,
    })
    bar.start(this.#expectedBytes, this.#doneBytes)
    this.#bar = bar
    this.#release = output.occupy({
      erase() {
        cursorTo(stream, 0)
        clearLine(stream, 0)
      },
      draw: () => bar.render(),
      end: () => this.stop(),
    })
  }

  #line(progress: number, value: number, total: number): string {
    const seconds = Math.max(0.001, (this.#clock.monotonic() - this.#startedMs) / 1000)
    const rate = value / seconds
    const left = rate > 0 ? `${Math.ceil((total - value) / rate)} s left` : ''
    const name = fitColumns(this.#name, nameColumns)
    const percent = `${Math.floor(progress * 100)}%`.padStart(4)
    const amount = `${sizeText(value)} of ${sizeText(total)}`
    return `${name} ${barText(progress)} ${percent}  ${amount}  ${sizeText(rate)}/s  ${left}`
  }
}
