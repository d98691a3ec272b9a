/** Sentences about failures for users. */
import { getSystemErrorMessage } from 'node:util'
import { DfsError, isError } from './errors.js'

/**
 * Describes any thrown value in one sentence: a DfsError by its message, a failed system call by the system's words.
 */
export function sentenceOf(thrown: unknown): string {
  if (thrown instanceof DfsError) return thrown.message
  const errno = (thrown as { errno?: unknown } | null)?.errno
  if (typeof errno === 'number') {
    const sentence = getSystemErrorMessage(errno)
    return sentence.charAt(0).toUpperCase() + sentence.slice(1)
  }
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** Whether a failure's sentence is printed without a name or a program in front. */
export function speaksForItself(thrown: unknown): boolean {
  return isError(thrown, 'incomplete', 'authentication')
}
