/**
 * Every failure the system can name: one table with the code used in the program, the number on the wire, the errno
 * that a program in the mount sees, and a sentence for users. Nothing else in the project invents an errno, and
 * nothing matches on the text of a message.
 */
import { constants } from 'node:os'

/** The rows: wire number, errno name (errno(3)), sentence. Numbers are part of the protocol. */
const table = {
  io: [1, 'EIO', 'Input/output error'],
  incomplete: [2, 'EIO', 'File is incomplete'],
  corrupt: [3, 'EIO', 'Stored bytes do not match their checksum'],
  unknownOutcome: [4, 'EIO', 'Too few servers answered to tell whether the change was stored'],
  undecided: [5, 'EIO', 'An interrupted change cannot be decided while two servers are down'],
  readOnly: [6, 'EROFS', 'Read-only until a third server is back'],
  noSpace: [7, 'ENOSPC', 'No space left on a server'],
  quota: [8, 'EDQUOT', 'Quota exceeded'],
  notFound: [9, 'ENOENT', 'No such file or directory'],
  exists: [10, 'EEXIST', 'File exists'],
  notDirectory: [11, 'ENOTDIR', 'Not a directory'],
  isDirectory: [12, 'EISDIR', 'Is a directory'],
  notEmpty: [13, 'ENOTEMPTY', 'Directory not empty'],
  nameTooLong: [14, 'ENAMETOOLONG', 'File name too long'],
  illegalName: [15, 'EILSEQ', 'Not a valid encoding of a file name'],
  invalid: [16, 'EINVAL', 'Invalid argument'],
  notPermitted: [17, 'EPERM', 'Operation not permitted'],
  access: [18, 'EACCES', 'Permission denied'],
  loop: [19, 'ELOOP', 'Too many levels of symbolic links'],
  tooManyLinks: [20, 'EMLINK', 'Too many links'],
  tooLarge: [21, 'EFBIG', 'File too large'],
  stale: [22, 'ESTALE', 'The file was replaced or removed'],
  timedOut: [23, 'ETIMEDOUT', 'Timed out'],
  noAttribute: [24, 'ENODATA', 'No such attribute'],
  range: [25, 'ERANGE', 'Result too large'],
  attributeTooLarge: [26, 'E2BIG', 'Attribute too large'],
  unsupported: [27, 'EOPNOTSUPP', 'Operation not supported'],
  badHandle: [28, 'EBADF', 'Bad file handle'],
  busy: [29, 'EBUSY', 'Resource busy'],
  noSuchOffset: [30, 'ENXIO', 'No such offset'],
  tooManyOpen: [31, 'ENFILE', 'Too many open files'],
  protocol: [32, 'EIO', 'The peer violated the protocol'],
  authentication: [33, 'EACCES', 'Invalid Username/Password. Please try again.'],
  down: [34, 'EIO', 'The server is down'],
  blank: [35, 'EIO', 'The server has no data yet'],
  noPiece: [36, 'EIO', 'The server does not hold this piece'],
  wrongServer: [37, 'EIO', 'The server belongs to another cluster or position'],
  overloaded: [38, 'EAGAIN', 'The server is overloaded'],
  configuration: [39, 'EINVAL', 'Configuration error'],
  version: [40, 'EPROTO', 'The peer speaks another protocol version'],
  tooManyExtents: [41, 'EFBIG', 'File has too many extents'],
  damaged: [43, 'EIO', 'The index of the server is damaged'],
  noIoctl: [44, 'ENOTTY', 'Inappropriate ioctl for device'],
  disk: [45, 'EIO', 'The disk of the server failed'],
  dataLost: [46, 'EIO', 'No server has this data any more'],
  untrusted: [48, 'EACCES', 'The connection to the server cannot be trusted'],
  clock: [47, 'EROFS', 'The clock of the server is too far behind'],
} as const satisfies Record<string, readonly [number, keyof typeof constants.errno, string]>

export type ErrorCode = keyof typeof table

/** Answers that say something about the request and nothing about the system. */
const ordinary: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'notFound',
  'exists',
  'notDirectory',
  'isDirectory',
  'notEmpty',
  'nameTooLong',
  'illegalName',
  'invalid',
  'notPermitted',
  'access',
  'loop',
  'tooManyLinks',
  'tooLarge',
  'stale',
  'noAttribute',
  'range',
  'attributeTooLarge',
  'unsupported',
  'badHandle',
  'busy',
  'noSuchOffset',
  'noIoctl',
])

const ordinaryErrnos: ReadonlySet<number> = new Set([
  ...[...ordinary].map((code) => constants.errno[table[code][1]]),
  constants.errno.ENOSYS,
])

/** Second names of EAGAIN and EOPNOTSUPP. */
const secondNames: readonly string[] = ['EWOULDBLOCK', 'ENOTSUP']
const errnoNames = new Map(
  Object.entries(constants.errno).flatMap(([name, errno]) =>
    secondNames.includes(name) ? [] : [[errno, name] as const],
  ),
)

const codes = new Map(
  (Object.keys(table) as ErrorCode[]).map((code) => [table[code][0] as number, code] as const),
)

/** A failure with a code from the table. `message` defaults to the table's sentence. */
export class DfsError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message?: string, options?: { cause?: unknown }) {
    // These are answers rather than faults, and thrown so often that capturing the stack would cost more than the
    // rest.
    const depth = Error.stackTraceLimit
    if (code === 'notFound' || code === 'noAttribute') Error.stackTraceLimit = 0
    super(message ?? table[code][2], options)
    Error.stackTraceLimit = depth
    this.name = 'DfsError'
    this.code = code
  }

  /** The positive errno of Linux for this failure (errno(3)). */
  get errno(): number {
    return constants.errno[table[this.code][1]]
  }

  /** The number that stands for the code on the wire. */
  get wireNumber(): number {
    return table[this.code][0]
  }
}

/** Returns the code for a number read from the wire. An unknown number is an `io` failure. */
export function codeOfWireNumber(number: number): ErrorCode {
  return codes.get(number) ?? 'io'
}

/** Whether a failure is one that every file system answers, such as that of a name which does not exist. */
export function isOrdinary({ code }: DfsError): boolean {
  return ordinary.has(code)
}

/** Whether an error number that a program got is such an answer. */
export function isOrdinaryErrno(errno: number): boolean {
  return ordinaryErrnos.has(errno)
}

/** The name of an error of errno(3), such as ENOENT; the number itself where there is none. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? String(errno)
}

const systemCodes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'noSpace',
  EDQUOT: 'quota',
  EROFS: 'noSpace',
  EMFILE: 'tooManyOpen',
  ENFILE: 'tooManyOpen',
}

/**
 * Converts any thrown value to a DfsError: a DfsError stays as it is, a full disk is recognised, all else is `io`.
 */
export function asDfsError(thrown: unknown): DfsError {
  if (thrown instanceof DfsError) return thrown
  const system = (thrown as { code?: unknown } | null)?.code
  const code = (typeof system === 'string' && systemCodes[system]) || 'io'
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new DfsError(code, message, { cause: thrown })
}

/** True when `thrown` is a DfsError with one of `codes`. */
export function isError(thrown: unknown, ...wanted: readonly ErrorCode[]): thrown is DfsError {
  return thrown instanceof DfsError && wanted.includes(thrown.code)
}
