/**
 * Where lines about single requests go: a function with printf(3)-like words, and whether anybody reads
 * them, so that none are put together in vain. A namespace of the package `debug` is one.
 */
export interface Trace {
  (format: string, ...values: readonly unknown[]): void
  readonly enabled: boolean
}

/** Drops every line. */
export const noTrace: Trace = Object.assign(() => {}, { enabled: false })
