/**
 * Receiver of lines about single requests: a function with arguments like printf(3), and whether it is enabled, so
 * that lines are not formatted in vain. A namespace of the package `debug` is one.
 */
export interface Trace {
  (format: string, ...values: readonly unknown[]): void
  readonly enabled: boolean
}

/** Drops every line. */
export const noTrace: Trace = Object.assign(() => {}, { enabled: false })
