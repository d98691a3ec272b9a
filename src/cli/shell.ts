/**
 * The prompt of the classic client: reads an operation, runs it, and repeats until EXIT or the end of the input. An
 * error is reported in one line and the prompt goes on.
 */
import { clearScreenDown, createInterface, cursorTo, type Interface } from 'node:readline'
import type { Readable } from 'node:stream'
import { CommanderError } from 'commander'
import { systemClock } from '../clock.js'
import type { Client } from '../dfc/client.js'
import { sentenceOf } from '../error-message.js'
import { asDfsError } from '../errors.js'
import { limits } from '../limits.js'
import { debugDfc, redirectNotices } from '../log.js'
import { commands } from './commands/table.js'
import { complete } from './completion.js'
import { lowerCaseOperation, type Operation, promptGrammar, usageFault } from './grammar.js'
import { IdleClient } from './idle-client.js'
import { type Session, type Status, sessionWith } from './session.js'
import { History, historyFile, historyLinesMax } from './terminal/history.js'
import { linesOf } from './terminal/lines.js'
import { wordsOf } from './terminal/words.js'

export interface ShellOptions
  extends Pick<Session, 'configFile' | 'output' | 'temporaries' | 'passwordOfEnvironment'> {
  /** Connects and logs in. */
  readonly open: () => Promise<Client>
  /** Opens standard input where that is a script. */
  readonly openInput: () => Readable
  readonly environment: Readonly<Record<string, string | undefined>>
}

export class Shell {
  readonly #options: ShellOptions
  readonly #history: History
  readonly #client: IdleClient
  /** The servers that the user knows to be down. */
  #down: ReadonlySet<string> = new Set()
  /** Undefined when the input is a script. */
  readonly #readline: Interface | undefined
  /** Aborts the running operation; undefined when none runs. */
  #interruption: AbortController | undefined
  /** The sentence about the operation that was interrupted. */
  #interrupted = ''
  #leave: (() => void) | undefined

  constructor(options: ShellOptions) {
    this.#options = options
    this.#history = new History(historyFile(options.environment))
    this.#client = new IdleClient({
      clock: systemClock,
      open: () => this.#open(),
      idleMs: limits.promptIdleMs,
      onOpened: (client) => this.#sayChanges(client),
      onIdle: (client) => {
        this.#down = namesDown(client)
      },
    })
    const interactive = process.stdin.isTTY === true && process.stdout.isTTY === true
    if (!interactive) return
    this.#readline = createInterface({
      input: process.stdin,
      output: process.stdout,
      terminal: true,
      prompt: 'dfc> ',
      history: this.#history.load(),
      historySize: historyLinesMax,
      removeHistoryDuplicates: true,
      completer: (line: string, done: Completed) => this.#complete(line, done),
    })
  }

  /** Runs the prompt. Returns 1 when the input was a script, not a terminal, and an operation in it failed. */
  async run(): Promise<Status> {
    const readline = this.#readline
    const lines = readline?.[Symbol.asyncIterator]() ?? linesOf(this.#options.openInput())
    readline?.on('SIGINT', () => this.#onInterrupt(readline))
    let status: Status = 0
    await this.#greet()
    for (;;) {
      if (readline !== undefined) this.#ask(readline)
      const { value: line, done } = await lines.next()
      this.#leave?.()
      if (done === true) break
      const outcome = await this.#runLine(line)
      if (outcome === 'exit') break
      if (outcome !== 0) status = 1
    }
    readline?.close()
    await this.#client.close()
    if (this.#isInteractive) process.stdout.write('\n')
    return this.#isInteractive ? 0 : status
  }

  get #isInteractive(): boolean {
    return this.#readline !== undefined
  }

  /** Throws when no client can log in. */
  async #greet(): Promise<void> {
    await this.#client
      .use(async () => {})
      .catch((error: unknown) => {
        this.#readline?.close()
        throw error
      })
    if (!this.#isInteractive) return
    const names = commands.map(({ name }) => name.toUpperCase()).join(', ')
    this.#options.output.print(`Operations: ${names}, HELP, EXIT`)
  }

  /** Opens a client, which says nothing of the servers meanwhile: that is said once when it is open. */
  #open(): Promise<Client> {
    redirectNotices((line) => debugDfc('%s', line))
    return this.#options.open()
  }

  /** Says which servers went down or came up since the client before this one, and from then on at once. */
  #sayChanges({ cluster }: Client): void {
    if (!this.#isInteractive) return
    const { output } = this.#options
    for (const { name, failure } of cluster.links) {
      if (failure === undefined && this.#down.has(name)) output.say(`${name} is up`)
      if (failure !== undefined && !this.#down.has(name)) {
        output.say(`${name} is down: ${sentenceOf(failure)}`)
      }
    }
    redirectNotices((line) => output.say(line.replace(/^\S+Z /, '')))
  }

  #ask(readline: Interface): void {
    readline.prompt()
    this.#leave = this.#options.output.occupy({
      erase() {
        cursorTo(process.stdout, 0)
        clearScreenDown(process.stdout)
      },
      draw: () => readline.prompt(true),
      end: () => readline.close(),
    })
  }

  async #runLine(line: string): Promise<Status | 'exit'> {
    if (line.trim() === '') return 0
    if (this.#isInteractive) this.#history.append(line)
    const { output } = this.#options
    try {
      const [first = '', ...others] = wordsOf(line)
      if (/^(exit|quit)$/i.test(first)) return 'exit'
      const operation = this.#parse([lowerCaseOperation(first), ...others])
      return operation === undefined ? 0 : await this.#perform(operation)
    } catch (error) {
      debugDfc('%s: %o', line, error)
      output.problem(this.#interruption?.signal.aborted ? this.#interrupted : sentenceOf(error))
      return 1
    } finally {
      this.#interruption = undefined
    }
  }

  /** Parses a line. Prints help when the line asks for it, and returns undefined. */
  #parse(words: string[]): Operation | undefined {
    let found: Operation | undefined
    const grammar = promptGrammar((operation) => {
      found = operation
    })
    try {
      grammar.parse(words, { from: 'user' })
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error
      if (error.exitCode !== 0) throw usageFault(error)
    }
    return found
  }

  #perform({ command, operands, options }: Operation): Promise<Status> {
    this.#interruption = new AbortController()
    const { configFile, output, temporaries, passwordOfEnvironment } = this.#options
    const interrupted = this.#interruption.signal
    return this.#client.use((client) => {
      const input = undefined
      const source = { close: () => this.#client.close(), open: () => this.#client.again() }
      const context = {
        configFile,
        output,
        temporaries,
        passwordOfEnvironment,
        interrupted,
        input,
      }
      return command.run(sessionWith(client, source, context), operands, options)
    })
  }

  /**
   * Handles Control-C: ends the running operation, the second time the program; without an operation empties the
   * line.
   */
  #onInterrupt(readline: Interface): void {
    if (this.#interruption === undefined) {
      process.stdout.write('^C\n')
      readline.write(null, { ctrl: true, name: 'e' })
      readline.write(null, { ctrl: true, name: 'u' })
      readline.prompt()
    } else if (this.#interruption.signal.aborted) {
      process.kill(process.pid, 'SIGINT')
    } else {
      this.#interrupted = this.#options.output.advice ?? 'Interrupted'
      this.#interruption.abort()
    }
  }

  #complete(line: string, done: Completed): void {
    this.#client
      .use(({ namespace }) => complete(namespace, line))
      .then(
        (completion) => done(null, completion),
        (error: unknown) => {
          debugDfc('complete: %o', asDfsError(error))
          done(null, [[], line])
        },
      )
  }
}

function namesDown({ cluster }: Client): ReadonlySet<string> {
  return new Set(cluster.links.filter(({ isUp }) => !isUp).map(({ name }) => name))
}

type Completed = (error: Error | null, completion: [string[], string]) => void
