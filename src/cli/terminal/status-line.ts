/** One line on the terminal about the present step, replaced by the next; nothing is shown elsewhere. */
import { clearLine, cursorTo } from 'node:readline'
import { cutColumns } from './format.js'
import type { Output } from './output.js'

export class StatusLine {
  readonly #stream: NodeJS.WriteStream | undefined
  readonly #release: () => void
  #text = ''

  constructor(output: Output) {
    this.#stream = output.bars
    this.#release = output.occupy({
      erase: () => this.#erase(),
      draw: () => this.show(this.#text),
      end: () => this.#erase(),
    })
  }

  show(text: string): void {
    this.#erase()
    this.#text = text
    this.#stream?.write(cutColumns(text, this.#stream.columns - 1))
  }

  stop(): void {
    this.#erase()
    this.#release()
  }

  #erase(): void {
    if (this.#stream === undefined) return
    cursorTo(this.#stream, 0)
    clearLine(this.#stream, 0)
  }
}
