/**
 * `dfs-server init`: makes the folder of a server with what it needs to start: a user that may log in, a key, and the
 * address to listen on. What is there already is left alone.
 */
import { networkInterfaces } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { acceptable, askNewPassword, passwordIn } from '../ask-password.js'
import { checkedUserName, parseAddress } from '../config.js'
import { isThere, serverFileName } from '../config-home.js'
import { makeFolder, writeDurably } from '../durable.js'
import { DfsError } from '../errors.js'
import { Questions } from '../questions.js'
import { shellWord } from '../shell-word.js'
import { isLoopback } from '../tls.js'
import { ServerKey } from './disk/server-key.js'
import { unitsFolder } from './users/default-file.js'
import { addUser } from './users/user-commands.js'

export interface SetupOptions {
  readonly host?: string
  readonly user?: string
  readonly passwordFile?: string
  /** The password in the environment. */
  readonly password?: string | undefined
}

/** The file beside a server's data with the variables that its unit of systemd starts it with. */
const environmentFile = 'server.env'
const loopback = '127.0.0.1'

/** Sets up `folder`. Returns the lines to print. Throws DfsError, and has then made no user. */
export async function setUpServer(
  folder: string,
  port: string,
  options: SetupOptions,
): Promise<readonly string[]> {
  const config = join(folder, serverFileName)
  if (isThere(config)) {
    throw new DfsError(
      'exists',
      `${config} is there already: "dfs-server user --config ${config}" changes who may log in`,
    )
  }
  const { host, user } = await answersOf(options, port)
  const password = await passwordOf(options, user)
  makeFolder(resolve(folder))
  const isForOthers = !isLoopback(host)
  const key = isForOthers ? (await ServerKey.open(folder)).name : undefined
  writeDurably(join(folder, environmentFile), `DFS_HOST=${host}\nDFS_PORT=${Number(port)}\n`, 0o600)
  const added = await addUser(config, user, password)
  return [
    added,
    ...(key === undefined
      ? [`It listens only on this machine; --host ADDRESS is for servers on several machines`]
      : [`Its key is ${key}: "dfc init" shows the same key if this server answers`]),
    ...startLines(host, folder, Number(port)),
    `When all four run:  dfc init`,
  ]
}

/** Says how to start the server: by its command, and by the unit of systemd that runs folders in its place. */
export function startLines(host: string, folder: string, port: number): readonly string[] {
  const path = resolve(folder)
  const isOfUnit = dirname(path) === unitsFolder && /^[\w.:-]+$/.test(basename(path))
  return [
    `Start it:  dfs-server --host ${shellWord(host)} ${shellWord(folder)} ${port}`,
    ...(isOfUnit ? [`With systemd:  systemctl enable --now dfs-server@${basename(path)}`] : []),
  ]
}

async function passwordOf(
  { passwordFile: file, password }: SetupOptions,
  user: string,
): Promise<string> {
  if (file !== undefined) return acceptable(await passwordIn(file))
  return password ? acceptable(password) : await askNewPassword(user)
}

interface ServerAnswers {
  readonly host: string
  readonly user: string
}

/** Asks for what no option says. Throws `invalid` for what is wrong, or where there is no terminal to ask on. */
async function answersOf({ host, user }: SetupOptions, port: string): Promise<ServerAnswers> {
  const hostOf = (text: string): string => checkedHost(text, port)
  // A wrong port is no answer that could be given again.
  const given = hostOf(host ?? loopback)
  const name = user === undefined ? undefined : checkedUserName(user)
  if (name !== undefined && (host !== undefined || !process.stdin.isTTY)) {
    return { host: given, user: name }
  }
  if (!process.stdin.isTTY) {
    throw new DfsError('invalid', 'without a terminal to ask on, init needs --user NAME')
  }
  const questions = new Questions()
  try {
    const question = 'Address of this machine to listen on'
    return {
      host: host ?? (await questions.askUntil(question, hostOf, ownAddress())),
      user: name ?? (await questions.askUntil('User that may log in', checkedUserName)),
    }
  } finally {
    questions.close()
  }
}

/** The first address by which others reach this machine. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? loopback
}

/** Returns the host that a server can listen on at `port`. Throws `invalid`. */
function checkedHost(host: string, port: string): string {
  if (parseAddress(`${host.includes(':') ? `[${host}]` : host}:${port}`) !== undefined) return host
  throw new DfsError(
    'invalid',
    `${host} and ${port} are no address to listen on: expected a host, and a port from 1 to 65535`,
  )
}
