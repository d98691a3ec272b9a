/**
 * A new password from whoever runs the command: typed twice without echo on a terminal, otherwise
 * the first line of standard input, for scripts.
 */
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { DfsError } from '../../errors.js'
import { prepared, preparedRule } from '../../password.js'

export async function askNewPassword(user: string): Promise<string> {
  if (!process.stdin.isTTY) return acceptable(await firstLine())
  const password = acceptable(await askHidden(`New password of ${user}: `))
  if ((await askHidden('Once more: ')) === password) return password
  throw new DfsError('invalid', 'The two passwords differ; nothing was changed')
}

function acceptable(password: string): string {
  if (password === '') {
    throw new DfsError('invalid', 'A password must not be empty; nothing was changed')
  }
  if (prepared(password) !== undefined) return password
  throw new DfsError('invalid', `A password has to be ${preparedRule}; nothing was changed`)
}

async function firstLine(): Promise<string> {
  const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })
  for await (const line of lines) return line
  return ''
}

/** readline edits the line as usual, but what it echoes goes nowhere. */
async function askHidden(question: string): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  // Asked only now that the terminal does not echo any more.
  process.stderr.write(question)
  try {
    return await new Promise<string>((resolve, reject) => {
      terminal.once('close', () => reject(new DfsError('invalid', 'Nothing was changed')))
      terminal.question('', resolve)
    })
  } finally {
    terminal.close()
    process.stderr.write('\n')
  }
}
