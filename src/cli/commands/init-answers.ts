/** The answers that INIT needs: from options, from the environment and files, and from whoever sits at the terminal. */
import { resolve } from 'node:path'
import { passwordIn } from '../../ask-password.js'
import { checkedUserName, parseAddress } from '../../config.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { prepared, preparedRule } from '../../password.js'
import { firstLineOfInput, Questions } from '../../questions.js'
import type { Options, Setup } from './command.js'

export interface Answers {
  /** Four times "host:port". */
  readonly servers: readonly string[]
  readonly user: string
  readonly password: string
  /** Absolute path of the folder to mount the files on, if that is wanted. */
  readonly mountpoint: string | undefined
}

/** Collects the answers. Throws `invalid` for one that is missing where nobody can be asked, or wrong. */
export async function collect({ password: given }: Setup, options: Options): Promise<Answers> {
  const questions = process.stdin.isTTY ? new Questions() : undefined
  try {
    const servers = await serversOf(options.server, questions)
    const user = await userOf(options.user, questions)
    const password = await passwordOf(given, options.passwordFile, user, questions)
    const mountpoint = await mountpointOf(options.mount, questions)
    return { servers, user, password, mountpoint }
  } finally {
    questions?.close()
  }
}

/** The text of dfc.conf. JSON's strings are strings of TOML. */
export function clientText({ servers, user, password }: Answers): string {
  const tables = servers.map((address, index) =>
    ['', '[[server]]', `name = "DFS${index + 1}"`, `address = ${JSON.stringify(address)}`].join(
      '\n',
    ),
  )
  return [
    '# Made by dfc init. The order of the servers says where the pieces are: it stays for good.',
    `user = ${JSON.stringify(user)}`,
    `password = ${JSON.stringify(password)}`,
    ...tables,
    '',
  ].join('\n')
}

async function serversOf(
  given: Options[string],
  questions: Questions | undefined,
): Promise<readonly string[]> {
  const count = limits.serverCount
  const servers: string[] = []
  for (const text of Array.isArray(given) ? given : []) servers.push(newAddress(text, servers))
  if (servers.length > count) {
    throw new DfsError('invalid', `--server is given ${servers.length} times: expected ${count}`)
  }
  if (servers.length < count && questions === undefined) {
    throw missing(`--server HOST:PORT ${count} times, got ${servers.length}`)
  }
  while (questions !== undefined && servers.length < count) {
    const question = `Address of DFS${servers.length + 1}, as HOST:PORT`
    servers.push(await questions.askUntil(question, (text) => newAddress(text, servers)))
  }
  return servers
}

/** Returns the address of a server that is none of `others`. Throws `invalid`. */
function newAddress(text: string, others: readonly string[]): string {
  if (parseAddress(text) === undefined) {
    const why = `"${text}" is no address of a server: expected HOST:PORT or [IPv6]:PORT`
    throw new DfsError('invalid', why)
  }
  const at = others.indexOf(text)
  if (at === -1) return text
  throw new DfsError('invalid', `${text} is the address of DFS${at + 1}: each server has its own`)
}

async function userOf(given: Options[string], questions: Questions | undefined): Promise<string> {
  if (typeof given === 'string') return checkedUserName(given)
  if (questions === undefined) throw missing('--user NAME')
  return questions.askUntil('User', checkedUserName)
}

async function passwordOf(
  fromEnvironment: string | undefined,
  file: Options[string],
  user: string,
  questions: Questions | undefined,
): Promise<string> {
  if (typeof file === 'string') return checkedPassword(await passwordIn(file))
  if (fromEnvironment) return checkedPassword(fromEnvironment)
  if (questions !== undefined) {
    return questions.askHiddenUntil(`Password of ${user}`, checkedPassword)
  }
  const password = await firstLineOfInput()
  if (password !== '') return checkedPassword(password)
  throw missing('a password in DFC_PASSWORD, --password-file or standard input')
}

function checkedPassword(password: string): string {
  if (password === '') throw new DfsError('invalid', 'A password must not be empty')
  if (prepared(password) !== undefined) return password
  throw new DfsError('invalid', `A password has to be ${preparedRule}`)
}

async function mountpointOf(
  given: Options[string],
  questions: Questions | undefined,
): Promise<string | undefined> {
  const folder =
    typeof given === 'string'
      ? given
      : await questions?.ask('Folder to mount the files on when the machine starts, or nothing')
  return folder === undefined || folder === '' ? undefined : resolve(folder)
}

function missing(what: string): DfsError {
  return new DfsError('invalid', `without a terminal to ask on, init needs ${what}`)
}
