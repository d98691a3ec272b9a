/**
 * Calls operations that take a callback, and returns promises of their results. An operation that throws has failed;
 * of several callbacks only the first counts; one that takes too long has timed out.
 */
import { errors, OperationError } from './errno.js'
import type { Callback, Code, OperationName, Operations } from './operations.js'

/** Timeout in milliseconds, or false for none; or one for each operation, with `default` for the others. */
export type Timeout =
  | number
  | false
  | ({ readonly [Name in OperationName]?: number | false } & { readonly default?: number | false })

/** Receives a line for each operation: its name, arguments and results. */
export type TraceLine = (line: string) => void

type Arguments<Name extends OperationName> =
  Parameters<NonNullable<Operations[Name]>> extends [...infer Given, unknown] ? Given : never
type ResultsOf<Given> = Given extends Callback<infer Results> ? Results : []
type Last<List extends readonly unknown[]> = List extends readonly [...unknown[], infer End]
  ? End
  : never
type Results<Name extends OperationName> = Partial<
  ResultsOf<Last<Parameters<NonNullable<Operations[Name]>>>>
>

type Method = (this: Operations, ...given: unknown[]) => void

const defaultTimeoutMs = 15_000

export class Calls {
  readonly #operations: Operations
  readonly #timeout: Timeout
  readonly #trace: TraceLine | undefined

  constructor(operations: Operations, timeout: Timeout | undefined, trace: TraceLine | undefined) {
    this.#operations = operations
    this.#timeout = timeout ?? defaultTimeoutMs
    this.#trace = trace
  }

  has(name: OperationName): boolean {
    return typeof this.#operations[name] === 'function'
  }

  /** Calls an operation, and returns its results. Throws its error, or ENOSYS when it is missing. */
  async call<Name extends OperationName>(
    name: Name,
    ...given: Arguments<Name>
  ): Promise<Results<Name>> {
    const [code, ...results] = await this.#ask(name, given)
    assertDone(code as Code)
    return results as unknown as Results<Name>
  }

  /** Calls `read` or `write`, and returns the number of bytes, at most `bytesMax`. */
  async count(
    name: 'read' | 'write',
    bytesMax: number,
    ...given: Arguments<'read'>
  ): Promise<number> {
    const [said] = await this.#ask(name, given)
    const code = said as Code
    if (typeof code === 'number' && code > 0) return Math.min(code, bytesMax)
    assertDone(code)
    return 0
  }

  #ask(name: OperationName, given: readonly unknown[]): Promise<readonly unknown[]> {
    const operation = this.#operations[name] as Method | undefined
    if (operation === undefined) throw new OperationError(errors.ENOSYS)
    const timeoutMs = timeoutOf(this.#timeout, name)
    return new Promise((resolve, reject) => {
      const timer =
        timeoutMs === false ? undefined : setTimeout(() => answer(errors.ETIMEDOUT), timeoutMs)
      const answer = (...said: unknown[]): void => {
        clearTimeout(timer)
        resolve(said)
      }
      try {
        operation.call(this.#operations, ...given, (...said: unknown[]) => {
          this.#trace?.(`${name} ${wordsOf(given)} = ${wordsOf(said)}`)
          answer(...said)
        })
      } catch (error) {
        clearTimeout(timer)
        reject(error)
      }
    })
  }
}

function assertDone(code: Code): void {
  if (code instanceof Error) throw code
  if (typeof code === 'number' && code !== 0) throw new OperationError(code)
}

function timeoutOf(timeout: Timeout, name: OperationName): number | false {
  if (typeof timeout !== 'object') return timeout === 0 ? defaultTimeoutMs : timeout
  return timeout[name] ?? (timeout.default || defaultTimeoutMs)
}

/** Formats values for a trace line; bytes as their number. */
function wordsOf(values: readonly unknown[]): string {
  return values
    .map((value) => {
      if (Buffer.isBuffer(value)) return `<${value.length} bytes>`
      if (value instanceof Error) return value.message
      return value === undefined ? '' : JSON.stringify(value)
    })
    .join(' ')
}
