/** Counters of a mount, as it sends them through its control socket: for `dfc top`, and as metrics. */
import type { LatencyCounts } from './latencies.js'

export interface OperationFigures {
  /** As the kernel calls it: `lookup`, `read`, `write`. */
  readonly name: string
  readonly latencies: LatencyCounts
  /** Answers with an error, also those that every file system gives, such as that a name does not exist. */
  readonly errors: number
  /** Those of them that are failures of the system: servers that are missing, no room, too late. */
  readonly failures: number
}

export interface ErrnoFigures {
  /** Such as "ENOENT". */
  readonly name: string
  readonly count: number
}

export interface ProgramFigures {
  /** 0 is the kernel itself, which writes back what programs had mapped. */
  readonly pid: number
  /** Empty when the program has ended. */
  readonly name: string
  readonly operations: number
  readonly tookMs: number
  readonly readBytes: number
  readonly writtenBytes: number
}

/** Counters that cost nothing to be asked for. `C` is those of the client of the mount; see `ClientFigures`. */
export interface MountCounters<C> {
  readonly mountpoint: string
  readonly pid: number
  /** On the monotonic clock of the mount. */
  readonly atMs: number
  readonly client: C
  readonly operations: readonly OperationFigures[]
  readonly errnos: readonly ErrnoFigures[]
  readonly readBytes: number
  readonly writtenBytes: number
}

/** All that a mount can say of its use. The names of programs have to be read from proc(5). */
export interface MountFigures<C> extends MountCounters<C> {
  readonly programs: readonly ProgramFigures[]
}
