/**
 * The client's output to its user: results to one stream, problems to another. A progress bar or the prompt, which
 * occupies the last line of the terminal, gives way while a line is written.
 */
import { bytesOf } from '../../byte-text.js'
import { escapeName } from '../../visible-text.js'
import { quoteWord } from './words.js'

/** A drawing on the terminal's last line. */
export interface Occupant {
  erase(): void
  draw(): void
  /** Puts the terminal back as it was, when the program ends. */
  end(): void
}

export interface OutputOptions {
  readonly results: NodeJS.WriteStream
  readonly problems: NodeJS.WriteStream
  /** Prefix of every problem. */
  readonly prefix: string
}

export class Output {
  readonly #results: NodeJS.WriteStream
  readonly #problems: NodeJS.WriteStream
  readonly #prefix: string
  readonly #occupants: Occupant[] = []
  #advice: string | undefined

  constructor(options: OutputOptions) {
    this.#results = options.results
    this.#problems = options.problems
    this.#prefix = options.prefix
  }

  /** The terminal that progress bars may be drawn on, if there is one that can move its cursor. */
  get bars(): NodeJS.WriteStream | undefined {
    return process.stderr.isTTY && process.env.TERM !== 'dumb' ? process.stderr : undefined
  }

  /** Formats a name: on a terminal as it can be typed, if it has characters that would act on the terminal. */
  name(name: string): string {
    const isSafe = !this.#results.isTTY || escapeName(name) === name
    return isSafe ? name : quoteWord(name)
  }

  /** Writes one line of results. Names in it must have been formatted by `name`. */
  print(line: string): void {
    this.#write(this.#results, line)
  }

  /** Writes a problem, always as exactly one line. */
  problem(line: string): void {
    this.say(`${this.#prefix}${line}`)
  }

  /** Writes a problem without the prefix. */
  say(line: string): void {
    this.#write(this.#problems, escapeName(line))
  }

  /** Lends the last line to `occupant`, until the returned function is called. */
  occupy(occupant: Occupant): () => void {
    this.#occupants.push(occupant)
    return () => {
      const at = this.#occupants.indexOf(occupant)
      if (at !== -1) this.#occupants.splice(at, 1)
    }
  }

  /** Runs `action`. When the user interrupts that, `advice` says what is left and how to go on. */
  async advising<T>(advice: string, action: () => Promise<T>): Promise<T> {
    this.#advice = advice
    try {
      return await action()
    } finally {
      this.#advice = undefined
    }
  }

  /** The sentence about an interruption; undefined where nothing is left that is worth a word. */
  get advice(): string | undefined {
    return this.#advice === undefined ? undefined : `Interrupted: ${this.#advice}`
  }

  /** Frees the last line, because the program ends. */
  end(): void {
    for (const occupant of this.#occupants.splice(0)) occupant.end()
  }

  #write(stream: NodeJS.WriteStream, line: string): void {
    const occupant = this.#occupants.at(-1)
    occupant?.erase()
    stream.write(bytesOf(`${line}\n`))
    occupant?.draw()
  }
}
