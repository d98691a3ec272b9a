/** Amounts of work: those of the usual run, and those of the quick one. */
export interface Scale {
  readonly copyMiB: number
  readonly bigMiB: number
  readonly files: number
  readonly entries: number
  readonly manyFiles: number
  readonly missedFiles: number
  readonly operations: number
  readonly syncs: number
  readonly rounds: number
  /** Time in seconds after which no further work begins, unless it was requested by name. */
  readonly secondsMax: number
}

export const usual: Scale = {
  copyMiB: 256,
  bigMiB: 1024,
  files: 500,
  entries: 10_000,
  manyFiles: 1_000_000,
  missedFiles: 1_000,
  operations: 200,
  syncs: 50,
  rounds: 3,
  secondsMax: 200,
}

export const quick: Scale = {
  copyMiB: 64,
  bigMiB: 256,
  files: 100,
  entries: 1_000,
  manyFiles: 20_000,
  missedFiles: 200,
  operations: 50,
  syncs: 10,
  rounds: 1,
  secondsMax: 45,
}
