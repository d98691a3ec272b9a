/** What went wrong, in words for people. */
import { getSystemErrorMessage } from 'node:util'
import { DfsError, isError } from './errors.js'

/** One sentence about any thrown value: ours, or a failed system call's without its Node trimmings. */
export function sentenceOf(thrown: unknown): string {
  if (thrown instanceof DfsError) return thrown.message
  const errno = (thrown as { errno?: unknown } | null)?.errno
  if (typeof errno === 'number') {
    const sentence = getSystemErrorMessage(errno)
    return sentence.charAt(0).toUpperCase() + sentence.slice(1)
  }
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** Failures whose sentence is said exactly as it is, without a name or a program in front. */
export function speaksForItself(thrown: unknown): boolean {
  return isError(thrown, 'incomplete', 'authentication')
}
