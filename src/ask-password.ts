/**
 * A new password from whoever runs the command: typed twice without echo on a terminal, otherwise
 * the first line of standard input, for scripts.
 */
import { sentenceOf } from './error-message.js'
import { DfsError } from './errors.js'
import { readNamedFile, readPipe } from './named-file.js'
import { prepared, preparedRule } from './password.js'
import { firstLineOfInput, Questions } from './questions.js'

export async function askNewPassword(user: string): Promise<string> {
  if (!process.stdin.isTTY) return acceptable(await firstLineOfInput())
  const questions = new Questions()
  try {
    const password = await questions.askHiddenUntil(`New password of ${user}`, acceptable)
    if ((await questions.askHidden('Once more')) === password) return password
  } finally {
    questions.close()
  }
  throw new DfsError('invalid', 'The two passwords differ; nothing was changed')
}

/** Reads the password that is the first line of a file, or of what a program writes into a pipe. Throws `configuration`. */
export async function passwordIn(file: string): Promise<string> {
  try {
    await readPipe(file)
    return readNamedFile(file).split(/\r?\n/, 1)[0] ?? ''
  } catch (cause) {
    const why = sentenceOf(cause)
    throw new DfsError('configuration', `${file}: cannot read the password: ${why}`, { cause })
  }
}

/** Throws `invalid` for a text that cannot be a password. */
export function acceptable(password: string): string {
  if (password === '') {
    throw new DfsError('invalid', 'A password must not be empty; nothing was changed')
  }
  if (prepared(password) !== undefined) return password
  throw new DfsError('invalid', `A password has to be ${preparedRule}; nothing was changed`)
}
