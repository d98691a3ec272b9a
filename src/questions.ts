/**
 * Questions to a person at a terminal, one line each. Lines that are typed ahead, or pasted, answer the questions that
 * come later.
 */
import { createInterface, type Interface } from 'node:readline'
import { Writable } from 'node:stream'
import { sentenceOf } from './error-message.js'
import { DfsError, isError } from './errors.js'

export class Questions {
  readonly #terminal: Interface
  readonly #lines: string[] = []
  #isHidden = false
  #waiting: PromiseWithResolvers<string> | undefined
  #isClosed = false

  constructor() {
    const echo = new Writable({
      write: (bytes: Buffer, _encoding, done) => {
        if (this.#isHidden) done()
        else process.stderr.write(bytes, () => done())
      },
    })
    this.#terminal = createInterface({ input: process.stdin, output: echo, terminal: true })
    this.#terminal.on('line', (line) => {
      if (this.#waiting === undefined) this.#lines.push(line)
      else this.#waiting.resolve(line)
    })
    // Control-C is a key of a terminal in raw mode. The program ends as it does elsewhere, without an answer. Input stays
    // open: with nothing to wait for, Node would end before the signal has come.
    this.#terminal.on('SIGINT', () => {
      this.#waiting = undefined
      if (process.stdin.isTTY) process.stdin.setRawMode(false)
      process.stderr.write('\n')
      process.kill(process.pid, 'SIGINT')
    })
    this.#terminal.on('close', () => {
      this.#isClosed = true
      if (this.#waiting === undefined) return
      if (!this.#isHidden) process.stderr.write('\n')
      this.#waiting.reject(noAnswer())
    })
  }

  /** Asks, and returns the answer without spaces around it; `preset`, which the question shows, for an empty one. */
  async ask(question: string, preset = ''): Promise<string> {
    const shown = preset === '' ? question : `${question} [${preset}]`
    const answer = (await this.#line(`${shown}: `)).trim()
    return answer === '' ? preset : answer
  }

  /**
   * Asks again until `check` takes the answer, which throws `invalid` otherwise, and returns what that makes of it. The
   * answers of before are not lost by a slip.
   */
  askUntil<T>(question: string, check: (answer: string) => T, preset = ''): Promise<T> {
    return untilValid(() => this.ask(question, preset), check)
  }

  /** Asks for a secret, which the terminal does not show. */
  async askHidden(question: string): Promise<string> {
    process.stderr.write(`${question}: `)
    this.#isHidden = true
    try {
      return await this.#line('')
    } finally {
      this.#isHidden = false
      process.stderr.write('\n')
    }
  }

  /** Asks for a secret as `askUntil` does. */
  askHiddenUntil<T>(question: string, check: (answer: string) => T): Promise<T> {
    return untilValid(() => this.askHidden(question), check)
  }

  close(): void {
    this.#terminal.close()
  }

  async #line(prompt: string): Promise<string> {
    if (this.#isClosed) throw noAnswer()
    this.#terminal.setPrompt(prompt)
    this.#terminal.prompt()
    const ahead = this.#lines.shift()
    if (ahead !== undefined) return ahead
    this.#waiting = Promise.withResolvers()
    try {
      return await this.#waiting.promise
    } finally {
      this.#waiting = undefined
    }
  }
}

async function untilValid<T>(ask: () => Promise<string>, check: (answer: string) => T): Promise<T> {
  for (;;) {
    const answer = await ask()
    try {
      return check(answer)
    } catch (error) {
      if (!isError(error, 'invalid')) throw error
      process.stderr.write(`${sentenceOf(error)}\n`)
    }
  }
}

/** The first line of standard input, for scripts; empty when there is none. */
export async function firstLineOfInput(): Promise<string> {
  const failed = Promise.withResolvers<never>()
  process.stdin.once('error', (cause) => {
    const why = `standard input: ${sentenceOf(cause)}`
    failed.reject(new DfsError('invalid', why, { cause }))
  })
  return await Promise.race([firstLineOf(process.stdin), failed.promise])
}

async function firstLineOf(input: NodeJS.ReadableStream): Promise<string> {
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })
  for await (const line of lines) return line
  return ''
}

function noAnswer(): DfsError {
  return new DfsError('invalid', 'Nothing was changed')
}
