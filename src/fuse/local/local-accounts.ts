/**
 * The account of a cluster that runs on this machine alone: its user and password are made up on first
 * use and kept in the two configuration files, readable by their owner only.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Random } from '../../clock.js'
import { type ClientConfig, isUserName, loadClientConfig } from '../../config.js'
import { limits } from '../../limits.js'

export interface LocalAccount {
  readonly config: ClientConfig
  /** The files, for other programs. */
  readonly clientFile: string
  readonly serverFile: string
}

/** Reads or makes the files in `folder`; the servers listen on `firstPort` and the three behind it. */
export async function localAccount(
  folder: string,
  firstPort: number,
  random: Random,
): Promise<LocalAccount> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const clientFile = join(folder, 'dfc.conf')
  const serverFile = join(folder, 'dfs.conf')
  const known = await readFile(clientFile).catch(() => undefined)
  // The password in the environment is for other clusters than this one.
  const account = known === undefined ? undefined : loadClientConfig(clientFile, {})
  const user = account?.user ?? loginName()
  const password = account?.password ?? random.bytes(24).toString('base64url')
  await replaceFile(clientFile, clientText(user, password, firstPort))
  if (account === undefined) await replaceFile(serverFile, serverText(user, password))
  return { config: loadClientConfig(clientFile, {}), clientFile, serverFile }
}

/** The name of who runs this, as far as it can be the name of a user of the servers. */
function loginName(): string {
  const safe = systemName()
    .replaceAll(/[^A-Za-z0-9._-]/g, '_')
    .replace(/^\.+/, '')
  const name = safe.slice(0, limits.userNameBytesMax)
  return isUserName(name) ? name : 'user'
}

/** In containers there are users that the system has no name for. */
function systemName(): string {
  try {
    return userInfo().username
  } catch {
    return ''
  }
}

function clientText(user: string, password: string, firstPort: number): string {
  const servers = Array.from({ length: limits.serverCount }, (_, index) => [
    '',
    '[[server]]',
    `name = "DFS${index + 1}"`,
    `address = "127.0.0.1:${firstPort + index}"`,
    '',
  ])
  return [
    '# Made by dfs-mount --local: the account on the four servers of this machine.',
    `user = "${user}"`,
    `password = "${password}"`,
    ...servers.flat(),
  ].join('\n')
}

function serverText(user: string, password: string): string {
  return [
    '# Made by dfs-mount --local: who may log in to the four servers of this machine.',
    `[users.${user.includes('.') ? `"${user}"` : user}]`,
    `password = "${password}"`,
    '',
  ].join('\n')
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}`
  await writeFile(temporary, text, { mode: 0o600 })
  await rename(temporary, path)
}
