/**
 * Edits of dfc.conf: the password, or the address of one server. Every other byte stays as it is, and so do the mode,
 * the owner and a symbolic link. An edit whose result does not say exactly what was meant is refused.
 */
import { realpathSync, statSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { type ClientConfig, parseClientConfig, passwordVariable, readConfig } from './config.js'
import { writeDurably } from './durable.js'
import { sentenceOf } from './error-message.js'
import { DfsError } from './errors.js'
import { type Address, addressText } from './network.js'
import { type Path, parseToml } from './toml.js'

/** The password in the file; undefined where there is none, because it comes from elsewhere. Throws `configuration`. */
export function passwordIn(file: string): string | undefined {
  const { password } = parseToml(readConfig(file), file).root
  return typeof password === 'string' ? password : undefined
}

/** Writes the new password. Throws `configuration`; also where the file has none, because it comes from elsewhere. */
export function writePassword(file: string, password: string): void {
  edit(file, ['password'], password, (config) => ({ ...config, password }))
}

/** Writes another address of the server at `index`. Throws `configuration`. */
export function writeAddress(file: string, index: number, address: Address): void {
  edit(file, ['server', index, 'address'], addressText(address), (config) => ({
    ...config,
    servers: config.servers.map((server, at) => (at === index ? { ...server, address } : server)),
  }))
}

/** Replaces one text in the file. `wanted` makes the configuration that this is to result in. */
function edit(
  given: string,
  path: Path,
  value: string,
  wanted: (config: ClientConfig) => ClientConfig,
): void {
  const text = readConfig(given)
  const { root, statements } = parseToml(text, given)
  // A password that is not in the file is needed for the parser alone.
  const environment = root.password === undefined ? { [passwordVariable]: 'unused' } : {}
  const before = parseClientConfig(text, given, environment)
  const found = statements.find((statement) => isDeepStrictEqual(statement.path, path))
  if (found === undefined) {
    const why = `has no ${path.at(-1)} that could be changed: it comes from elsewhere`
    throw new DfsError('configuration', `${given}: ${why}`)
  }
  // As every key of a table is one word, the name stays as it was written.
  const name = text.slice(found.nameStart, text.indexOf('=', found.nameStart) + 1)
  const edited = `${text.slice(0, found.nameStart)}${name} ${JSON.stringify(value)}${text.slice(found.end)}`
  if (!isDeepStrictEqual(parseClientConfig(edited, given, environment), wanted(before))) {
    throw new DfsError('configuration', `${given}:${found.line}: cannot edit it without harm`)
  }
  try {
    replace(realpathSync(given), edited)
  } catch (cause) {
    throw new DfsError('configuration', `${given}: cannot write it: ${sentenceOf(cause)}`, {
      cause,
    })
  }
}

function replace(file: string, text: string): void {
  const status = statSync(file)
  if (!status.isFile()) throw new DfsError('configuration', 'it is no file')
  writeDurably(file, text, status.mode & 0o7777, status)
}
