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
  /** Random reads of a round: all rounds together read no 64 KiB of the file twice. */
  readonly randomReads: number
  /** Size of the file of each of several writers. */
  readonly writerMiB: number
  /** Small files that are touched. */
  readonly touched: number
  /** Small files that are overwritten, and saved by a rename. */
  readonly saved: number
  /** Folders of a few files each that are made, searched and removed. */
  readonly folders: number
  /** Folders of the tree that is unpacked, of three files each. */
  readonly treeFolders: number
  readonly repositoryFiles: number
  /** Files that are unpacked, compared, copied and removed to see how much memory that takes. */
  readonly memoryFiles: number
  /** Number of rounds: even, since the order of the places is reversed with each. */
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
  randomReads: 1_000,
  writerMiB: 64,
  touched: 300,
  saved: 200,
  folders: 600,
  treeFolders: 1_000,
  repositoryFiles: 5_000,
  memoryFiles: 5_600,
  rounds: 4,
  secondsMax: 1_800,
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
  randomReads: 200,
  writerMiB: 16,
  touched: 60,
  saved: 40,
  folders: 60,
  treeFolders: 100,
  repositoryFiles: 500,
  memoryFiles: 560,
  rounds: 2,
  secondsMax: 240,
}
