/**
 * Handling of signals that end a long-running program. Control-C under npm arrives twice, from the terminal and from
 * npm, and a service manager may repeat a signal as well: only one that comes clearly later than the first means that
 * the user is tired of waiting.
 */
import { systemClock } from './clock.js'

const endSignals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
export type EndSignal = (typeof endSignals)[number]
const echoMs = 500

/**
 * Calls `end` at the first signal and `hurry` at each one that comes clearly later. With `reopen`, SIGHUP calls that
 * in the place of both, as programs do that write a log file.
 */
export function onEndSignals(
  end: (signal: EndSignal) => void,
  hurry: (signal: EndSignal) => void,
  reopen?: () => void,
): void {
  const heard = endOnce<EndSignal>(end, hurry, () => systemClock.monotonic())
  for (const signal of endSignals) {
    if (signal === 'SIGHUP' && reopen !== undefined) process.on(signal, reopen)
    else process.on(signal, () => heard(signal))
  }
}

/** Returns the handler of each signal. `nowMs` counts from any origin and never goes back. */
export function endOnce<S extends string>(
  end: (signal: S) => void,
  hurry: (signal: S) => void,
  nowMs: () => number,
): (signal: S) => void {
  let firstMs: number | undefined
  return (signal) => {
    if (firstMs === undefined) {
      firstMs = nowMs()
      end(signal)
    } else if (nowMs() - firstMs > echoMs) {
      hurry(signal)
    }
  }
}

/**
 * Ignores errors of standard output and error: a closed terminal or pipe must not end a program that others depend
 * on.
 */
export function outliveTerminal(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
}
