/** Sentences about failures for users. */
import { getSystemErrorMessage } from 'node:util'
import { DfsError, isError } from './errors.js'

/**
 * Describes any thrown value in one sentence: a DfsError by its message, a failed system call by the system's words.
 */
export function sentenceOf(thrown: unknown): string {
  if (thrown instanceof DfsError) return thrown.message
  // Node tries all addresses of a host, and says nothing itself.
  if (thrown instanceof AggregateError && thrown.errors.length > 0) {
    return sentenceOf(thrown.errors[0])
  }
  const errno = (thrown as { errno?: unknown } | null)?.errno
  if (typeof errno === 'number') {
    const sentence = getSystemErrorMessage(errno)
    return sentence.charAt(0).toUpperCase() + sentence.slice(1)
  }
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** Describes a failed system call by the file that it was about as well, and everything else as `sentenceOf` does. */
export function sentenceWithPath(thrown: unknown): string {
  const path = thrown instanceof DfsError ? undefined : (thrown as { path?: unknown } | null)?.path
  return typeof path === 'string' ? `${path}: ${sentenceOf(thrown)}` : sentenceOf(thrown)
}

/** Whether a failure's sentence is printed without a name or a program in front. */
export function speaksForItself(thrown: unknown): boolean {
  return isError(thrown, 'incomplete', 'authentication')
}
