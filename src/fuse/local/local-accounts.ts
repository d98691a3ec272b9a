/**
 * The account of a cluster on this machine alone. Its user and password are generated at the first use and stored in
 * the two configuration files, which only their owner can read.
 */
import { existsSync } from 'node:fs'
import { chmod, readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Random } from '../../clock.js'
import { type ClientConfig, isUserName, loadClientConfig } from '../../config.js'
import { clientFileName, serverFileName } from '../../config-home.js'
import { limits } from '../../limits.js'
import { makePrivateFolder, writePrivate } from '../../private-file.js'

export interface LocalAccount {
  readonly config: ClientConfig
  /** The client's configuration file, for other programs. */
  readonly clientFile: string
  readonly serverFile: string
}

/**
 * Reads the configuration files in `folder`, or creates them. The servers listen on `firstPort` and the next three
 * ports.
 */
export async function localAccount(
  folder: string,
  firstPort: number,
  random: Random,
): Promise<LocalAccount> {
  makePrivateFolder(folder)
  const clientFile = join(folder, clientFileName)
  const serverFile = join(folder, serverFileName)
  for (const file of [clientFile, serverFile]) await makePrivate(file)
  const known = await readFile(clientFile).catch(() => undefined)
  // DFC_PASSWORD in the environment belongs to another cluster.
  const account = known === undefined ? undefined : loadClientConfig(clientFile, {})
  const user = account?.user ?? loginName()
  const password = account?.password ?? random.bytes(24).toString('base64url')
  // What else the user has written there stays, as long as the servers are the ones that it names.
  if (account === undefined || !listensFrom(account, firstPort)) {
    writePrivate(clientFile, clientText(user, password, firstPort), true)
  }
  if (account === undefined) writePrivate(serverFile, serverText(user, password), true)
  return { config: loadClientConfig(clientFile, {}), clientFile, serverFile }
}

/** Both files have the password in clear, also where an older version or a backup left them readable. */
async function makePrivate(file: string): Promise<void> {
  await chmod(file, 0o600).catch(() => undefined)
}

/** The first of the four ports by the configuration in `folder`. Undefined when there is none of such servers. */
export async function knownFirstPort(folder: string): Promise<number | undefined> {
  const file = join(folder, clientFileName)
  if (!existsSync(file)) return undefined
  await makePrivate(file)
  const config = loadClientConfig(file, {})
  const port = config.servers[0]?.address.port
  return port !== undefined && listensFrom(config, port) ? port : undefined
}

/** Whether the configuration is that of the servers on `firstPort` and the next three ports. */
function listensFrom({ servers }: ClientConfig, firstPort: number): boolean {
  return servers.every(
    ({ address: { host, port } }, at) => host === '127.0.0.1' && port === firstPort + at,
  )
}

/** The name of the user that runs this, as far as it can be a user name of the servers. */
function loginName(): string {
  const safe = systemName()
    .replaceAll(/[^A-Za-z0-9._-]/g, '_')
    .replace(/^\.+/, '')
  const name = safe.slice(0, limits.userNameBytesMax)
  return isUserName(name) ? name : 'user'
}

/** Undefined in containers for users without a name. */
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
