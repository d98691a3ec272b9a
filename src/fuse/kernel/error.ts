/**
 * The failures of this layer, and how any failure becomes the number that a program sees as errno(3).
 */
import { constants } from 'node:os'

/** The name of an error number of Linux, such as ENOENT. */
export type ErrnoName = keyof typeof constants.errno

/** A failure that reaches a program as an error number. */
export class FuseError extends Error {
  readonly code: ErrnoName

  constructor(code: ErrnoName, message: string = code, options?: { cause?: unknown }) {
    // Most are answers rather than faults, and a stack costs more than the answer.
    const depth = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(message, options)
    Error.stackTraceLimit = depth
    this.name = 'FuseError'
    this.code = code
  }

  /** The error number of Linux, positive. */
  get errno(): number {
    return constants.errno[this.code]
  }
}

/** A mount that cannot be made. The message is a sentence for people and says what to do. */
export class MountError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(`cannot mount: ${message}`, options)
    this.name = 'MountError'
  }
}

/** A kernel that lacks something a file system cannot do without. */
export class MissingFeatureError extends MountError {
  readonly features: readonly string[]

  constructor(features: readonly string[]) {
    super(`this kernel does not offer ${features.join(', ')}`)
    this.name = 'MissingFeatureError'
    this.features = features
  }
}

/**
 * Returns the error number for anything thrown: that of a FuseError or of an error of Node itself, which
 * has it in `errno`, and EIO for everything else.
 */
export function errnoOf(thrown: unknown): number {
  const errno = (thrown as { errno?: unknown } | null | undefined)?.errno
  if (typeof errno !== 'number') return constants.errno.EIO
  // Node's own errors have it negative. The kernel takes no other numbers than these.
  const positive = Math.abs(errno)
  return Number.isInteger(positive) && positive > 0 && positive < 512
    ? positive
    : constants.errno.EIO
}
