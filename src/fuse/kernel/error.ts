/** The failures of this layer, and the conversion of any failure to the errno(3) that a program sees. */
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

  /** The positive error number of Linux. */
  get errno(): number {
    return constants.errno[this.code]
  }
}

/** A mount that cannot be made. Its message is for users and says what to do. */
export class MountError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(`cannot mount: ${message}`, options)
    this.name = 'MountError'
  }
}

/** The kernel lacks a feature that a file system needs. */
export class MissingFeatureError extends MountError {
  readonly features: readonly string[]

  constructor(features: readonly string[]) {
    super(`this kernel does not offer ${features.join(', ')}`)
    this.name = 'MissingFeatureError'
    this.features = features
  }
}

/**
 * Converts anything thrown to an error number: that of a FuseError or of Node's own errors, which have it in `errno`,
 * and EIO for everything else.
 */
export function errnoOf(thrown: unknown): number {
  const errno = (thrown as { errno?: unknown } | null | undefined)?.errno
  if (typeof errno !== 'number') return constants.errno.EIO
  // Node's own errors have a negative number. The kernel accepts no others than these.
  const positive = Math.abs(errno)
  return Number.isInteger(positive) && positive > 0 && positive < 512
    ? positive
    : constants.errno.EIO
}
