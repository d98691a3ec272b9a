/**
 * Between the binding's callbacks and our promises: calls the operation with who asks, answers exactly
 * once, and translates every failure to an errno here and nowhere else.
 */
import { asDfsError, DfsError } from '../errors.js'
import { debugFuse } from '../log.js'
import type { Caller } from './attributes.js'

/** An operation without FUSE: throws DfsError. */
export type Operation = (caller: Caller, ...given: never[]) => Promise<unknown>
export type Operations = Readonly<Record<string, Operation>>

type Given<O> = O extends (caller: Caller, ...given: infer A) => unknown ? A : never
type Result<O> = O extends (...given: never[]) => Promise<infer R> ? R : never

/** How a result is handed to the binding's callback. */
type ValueCallback<R> = (error: number, value?: R) => void
type CountCallback = (result: number) => void
type ListCallback<R> = R extends readonly unknown[]
  ? (error: number, ...values: R | []) => void
  : never

export type AnswersValues<T> = {
  readonly [K in keyof T]: (...given: [...Given<T[K]>, ValueCallback<Result<T[K]>>]) => void
}
export type AnswersCounts<T> = {
  readonly [K in keyof T]: (...given: [...Given<T[K]>, CountCallback]) => void
}
export type AnswersLists<T> = {
  readonly [K in keyof T]: (...given: [...Given<T[K]>, ListCallback<Result<T[K]>>]) => void
}

/** Who asks: what the binding knows while it calls an operation. */
export type Context = () => Caller | null

/** `callback(0, value)`. */
export function answerValues<T extends Operations>(context: Context, table: T): AnswersValues<T> {
  return answering(context, table, (callback, value) => callback(0, value)) as AnswersValues<T>
}

/** `callback(count)`. */
export function answerCounts<T extends Operations>(context: Context, table: T): AnswersCounts<T> {
  return answering(context, table, (callback, count) => callback(count)) as AnswersCounts<T>
}

/** `callback(0, ...values)`. */
export function answerLists<T extends Operations>(context: Context, table: T): AnswersLists<T> {
  return answering(context, table, (callback, values) =>
    callback(0, ...(values as unknown[])),
  ) as AnswersLists<T>
}

/** The negative errno for anything thrown: unknown failures are EIO, never ENOSYS. */
export function errnoOf(thrown: unknown): number {
  return -asDfsError(thrown).errno
}

type Callback = (...results: unknown[]) => void

function answering(
  context: Context,
  table: Operations,
  succeed: (callback: Callback, result: unknown) => void,
): Record<string, (...given: unknown[]) => void> {
  const nobody: Caller = { uid: 0, gid: 0, pid: 0 }
  const entries = Object.entries(table).map(([name, operation]) => {
    const answer = async (given: unknown[]): Promise<void> => {
      const caller = context() ?? nobody
      const callback = given.pop() as Callback
      try {
        const result = await (operation as (...all: unknown[]) => Promise<unknown>)(
          caller,
          ...given,
        )
        if (debugFuse.enabled) debugFuse('%s %s', name, subjectOf(given))
        succeed(callback, result)
      } catch (thrown) {
        const errno = errnoOf(thrown)
        if (debugFuse.enabled) debugFuse('%s %s: %d %s', name, subjectOf(given), errno, thrown)
        if (!(thrown instanceof DfsError)) debugFuse('%s: a bug? %o', name, thrown)
        callback(errno)
      }
    }
    // The promise never rejects: every failure is an answer.
    return [name, (...given: unknown[]) => void answer(given)] as const
  })
  return Object.fromEntries(entries)
}

/** The arguments for a debug line: bytes as their number. */
function subjectOf(given: readonly unknown[]): string {
  const words = given.map((value) => {
    if (Buffer.isBuffer(value)) return `<${value.length}>`
    return typeof value === 'object' ? JSON.stringify(value) : String(value)
  })
  return words.join(' ')
}
