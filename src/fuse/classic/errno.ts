/**
 * The error numbers of Linux, as in errno(3) and asm-generic/errno.h, negated as operations pass them to callbacks.
 */

/** Names in the order of their numbers, from 1 on. One that no program sees is empty. */
const names = [
  ...['EPERM', 'ENOENT', 'ESRCH', 'EINTR', 'EIO', 'ENXIO', 'E2BIG', 'ENOEXEC', 'EBADF', 'ECHILD'],
  ...['EAGAIN', 'ENOMEM', 'EACCES', 'EFAULT', 'ENOTBLK', 'EBUSY', 'EEXIST', 'EXDEV', 'ENODEV'],
  ...['ENOTDIR', 'EISDIR', 'EINVAL', 'ENFILE', 'EMFILE', 'ENOTTY', 'ETXTBSY', 'EFBIG', 'ENOSPC'],
  ...['ESPIPE', 'EROFS', 'EMLINK', 'EPIPE', 'EDOM', 'ERANGE', 'EDEADLK', 'ENAMETOOLONG', 'ENOLCK'],
  ...['ENOSYS', 'ENOTEMPTY', 'ELOOP', '', 'ENOMSG', 'EIDRM', 'ECHRNG', 'EL2NSYNC', 'EL3HLT'],
  ...['EL3RST', 'ELNRNG', 'EUNATCH', 'ENOCSI', 'EL2HLT', 'EBADE', 'EBADR', 'EXFULL', 'ENOANO'],
  ...[
    'EBADRQC',
    'EBADSLT',
    '',
    'EBFONT',
    'ENOSTR',
    'ENODATA',
    'ETIME',
    'ENOSR',
    'ENONET',
    'ENOPKG',
  ],
  ...['EREMOTE', 'ENOLINK', 'EADV', 'ESRMNT', 'ECOMM', 'EPROTO', 'EMULTIHOP', 'EDOTDOT', 'EBADMSG'],
  ...['EOVERFLOW', 'ENOTUNIQ', 'EBADFD', 'EREMCHG', 'ELIBACC', 'ELIBBAD', 'ELIBSCN', 'ELIBMAX'],
  ...['ELIBEXEC', 'EILSEQ', 'ERESTART', 'ESTRPIPE', 'EUSERS', 'ENOTSOCK', 'EDESTADDRREQ'],
  ...['EMSGSIZE', 'EPROTOTYPE', 'ENOPROTOOPT', 'EPROTONOSUPPORT', 'ESOCKTNOSUPPORT', 'EOPNOTSUPP'],
  ...['EPFNOSUPPORT', 'EAFNOSUPPORT', 'EADDRINUSE', 'EADDRNOTAVAIL', 'ENETDOWN', 'ENETUNREACH'],
  ...['ENETRESET', 'ECONNABORTED', 'ECONNRESET', 'ENOBUFS', 'EISCONN', 'ENOTCONN', 'ESHUTDOWN'],
  ...['ETOOMANYREFS', 'ETIMEDOUT', 'ECONNREFUSED', 'EHOSTDOWN', 'EHOSTUNREACH', 'EALREADY'],
  ...['EINPROGRESS', 'ESTALE', 'EUCLEAN', 'ENOTNAM', 'ENAVAIL', 'EISNAM', 'EREMOTEIO', 'EDQUOT'],
  ...['ENOMEDIUM', 'EMEDIUMTYPE', 'ECANCELED', 'ENOKEY', 'EKEYEXPIRED', 'EKEYREVOKED'],
  ...['EKEYREJECTED', 'EOWNERDEAD', 'ENOTRECOVERABLE', 'ERFKILL', 'EHWPOISON'],
] as const

/** Second names of some numbers. */
const aliases = { EWOULDBLOCK: -11, EDEADLOCK: -35, ENOTSUP: -95 } as const

export type ErrorName = Exclude<(typeof names)[number], ''> | keyof typeof aliases

/** The negative number of each name. */
export const errors: Readonly<Record<ErrorName, number>> = {
  ...(Object.fromEntries(
    names.map((name, index) => [name, -(index + 1)] as const).filter(([name]) => name !== ''),
  ) as Record<Exclude<(typeof names)[number], ''>, number>),
  ...aliases,
}

/** The failure of an operation: its number, and its name as the message. */
export class OperationError extends Error {
  readonly errno: number

  /** `code` is what the operation passed to its callback, by convention negative. */
  constructor(code: number) {
    const depth = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(names[Math.abs(code) - 1] || `error ${code}`)
    Error.stackTraceLimit = depth
    this.name = 'OperationError'
    this.errno = code
  }
}
