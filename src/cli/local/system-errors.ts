/** Failed system calls: which they are, and what they are about. */
import { sentenceOf } from '../../error-message.js'
import { asDfsError, DfsError } from '../../errors.js'

/** Whether a system call failed, with one of `codes` such as ENOENT if there are any. */
export function isSystemError(thrown: unknown, ...codes: readonly string[]): boolean {
  if (!(thrown instanceof Error) || thrown instanceof DfsError || !('syscall' in thrown))
    return false
  return codes.length === 0 || ('code' in thrown && codes.includes(String(thrown.code)))
}

/** Returns a function that throws what it is given, and names `path` if that is a failed system call. */
export function failAbout(path: string): (error: unknown) => never {
  return (error) => {
    if (!isSystemError(error)) throw error
    throw new DfsError(asDfsError(error).code, `${path}: ${sentenceOf(error)}`, { cause: error })
  }
}
