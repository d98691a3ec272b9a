/**
 * System calls for local files that Node has not: utimensat(2), lseek(2) for holes, flock(2), and those of xattr(7). They are
 * loaded at their first use: most runs of dfc need none, and loading takes longer than a short command.
 */
import { constants } from 'node:os'

const currentFolder = -100
const notThroughLinks = 0x100
const seekDataFlag = 3
const seekHoleFlag = 4
/** LOCK_SH | LOCK_NB and LOCK_EX | LOCK_NB of flock(2). */
const lockOperations = { shared: 1 | 4, exclusive: 2 | 4 } as const

/** How a file was locked: by this call, not because others have a lock, or not because the file system has no locks. */
type Locked = 'locked' | 'taken' | 'unsupported'

interface SystemCalls {
  /** Sets times as utimensat(2) does, not through a link. `path` ends with a zero byte. Resolves to whether it did. */
  setTimes(path: Buffer, times: BigInt64Array): Promise<boolean>
  /** Returns where the data at or behind `at` begins, or the negative number of an error. */
  seekData(file: number, at: number): number
  /** Returns where the hole at or behind `at` begins, or the negative number of an error. */
  seekHole(file: number, at: number): number
  /** Takes a lock of flock(2) for an open file, without waiting. It replaces one that the same open file has. */
  lock(file: number, how: keyof typeof lockOperations): Locked
  /** Each returns a length, or the negative number of an error. `path` ends with a zero byte; a link is followed. */
  listAttributes(path: Buffer, names: Buffer): number
  getAttribute(path: Buffer, name: Buffer, value: Buffer): number
  setAttribute(path: Buffer, name: Buffer, value: Buffer): number
  removeAttribute(path: Buffer, name: Buffer): number
}

let loaded: Promise<SystemCalls> | undefined

export function systemCalls(): Promise<SystemCalls> {
  loaded ??= load()
  return loaded
}

async function load(): Promise<SystemCalls> {
  const { default: koffi } = await import('koffi')
  const libc = koffi.load(null)
  const utimensat = libc.func(
    'int utimensat(int, const uint8_t *path, const int64_t *times, int flags)',
  )
  const lseek = libc.func('int64_t lseek(int, int64_t, int)')
  const flock = libc.func('int flock(int, int)')
  const listxattr = libc.func('int64_t listxattr(const uint8_t *, _Out_ uint8_t *, size_t)')
  const getxattr = libc.func(
    'int64_t getxattr(const uint8_t *, const uint8_t *, _Out_ uint8_t *, size_t)',
  )
  const setxattr = libc.func(
    'int setxattr(const uint8_t *, const uint8_t *, const uint8_t *, size_t, int)',
  )
  const removexattr = libc.func('int removexattr(const uint8_t *, const uint8_t *)')
  const outcome = (result: number | bigint): number => {
    const number = Number(result)
    return number < 0 ? -koffi.errno() : number
  }
  return {
    setTimes: (path, times) =>
      new Promise((resolve, reject) => {
        utimensat.async(
          currentFolder,
          path,
          times,
          notThroughLinks,
          (error: unknown, result: number) => {
            if (error) reject(error)
            else resolve(result === 0)
          },
        )
      }),
    seekData: (file, at) => outcome(lseek(file, at, seekDataFlag)),
    seekHole: (file, at) => outcome(lseek(file, at, seekHoleFlag)),
    lock(file, how) {
      const result = outcome(flock(file, lockOperations[how]))
      if (result === 0) return 'locked'
      return result === -constants.errno.EWOULDBLOCK ? 'taken' : 'unsupported'
    },
    listAttributes: (path, names) => outcome(listxattr(path, names, names.length)),
    getAttribute: (path, name, value) => outcome(getxattr(path, name, value, value.length)),
    setAttribute: (path, name, value) => outcome(setxattr(path, name, value, value.length, 0)),
    removeAttribute: (path, name) => outcome(removexattr(path, name)),
  }
}
