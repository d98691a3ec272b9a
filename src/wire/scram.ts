/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) as pure steps. Over TLS it is bound to the connection by
 * `tls-exporter` (RFC 9266). The password never travels, the server keeps only a salted verifier, and a
 * server that does not know the verifier cannot pass for one that does.
 */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { DfsError } from '../errors.js'
import { prepared, preparedRule } from '../password.js'

const scheme = 'SCRAM-SHA-256'

/**
 * Rounds of the key derivation. `plain`: for a password that lies in clear beside the server, which more rounds
 * would not protect. `written`: for a verifier that is stored. Fewer than `least`, which RFC 7677 asks for,
 * would let a false server try passwords out, and more than `most` would keep a client busy.
 */
export const scramIterations = {
  least: 4096,
  plain: 4096,
  written: 100_000,
  most: 600_000,
} as const

/** PBKDF2 with HMAC-SHA-256 (RFC 8018): 32 bytes. */
export type KeyDerivation = (
  password: string,
  salt: Buffer,
  iterations: number,
) => Buffer | Promise<Buffer>

const derive = promisify(pbkdf2)

/** In a thread, since it may take a quarter of a second. */
const threadKeyDerivation: KeyDerivation = (password, salt, iterations) =>
  derive(password, salt, iterations, 32, 'sha256')

/** The data that a server stores for a password. */
export interface Verifier {
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
  /** The keys of the password before, derived with the same salt and rounds, where that one is still good. */
  readonly old?: VerifierKeys | undefined
}

/** The part of a verifier that follows from the password. */
export type VerifierKeys = Pick<Verifier, 'storedKey' | 'serverKey'>

const hmac = (key: Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest()
const hash = (data: Buffer): Buffer => createHash('sha256').update(data).digest()
const fail = (why: string): DfsError =>
  new DfsError('authentication', undefined, { cause: new Error(why) })

/** Throws `invalid`, which never quotes the text. */
function normalized(password: string): string {
  const result = prepared(password)
  if (result !== undefined) return result
  throw new DfsError('invalid', `The password has to be ${preparedRule}`)
}

/** Computes the verifier of `password` with a random `salt` of 16 bytes. */
export async function makeVerifier(
  password: string,
  salt: Buffer,
  iterations: number,
  keyOf: KeyDerivation = threadKeyDerivation,
): Promise<Verifier> {
  const salted = await keyOf(normalized(password), salt, iterations)
  const storedKey = hash(hmac(salted, 'Client Key'))
  return { iterations, salt, storedKey, serverKey: hmac(salted, 'Server Key') }
}

/** Formats a verifier as `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, each in base64. */
export function formatVerifier(verifier: Verifier): string {
  const { iterations, salt, storedKey, serverKey } = verifier
  const b64 = (bytes: Buffer): string => bytes.toString('base64')
  return `${scheme}$${iterations}:${b64(salt)}$${b64(storedKey)}:${b64(serverKey)}`
}

/** Parses the text of `formatVerifier`. Undefined when it is not one. */
export function parseVerifier(text: string): Verifier | undefined {
  const match = /^SCRAM-SHA-256\$(\d{1,7}):([\w+/=]+)\$([\w+/=]+):([\w+/=]+)$/.exec(text)
  if (match === null) return undefined
  const [iterations, salt, storedKey, serverKey] = [
    Number(match[1]),
    ...match.slice(2).map((part) => Buffer.from(part, 'base64')),
  ] as [number, Buffer, Buffer, Buffer]
  if (storedKey.length !== 32 || serverKey.length !== 32 || salt.length < 8) return undefined
  if (!areAcceptable(iterations)) return undefined
  return { iterations, salt, storedKey, serverKey }
}

function areAcceptable(iterations: number): boolean {
  const { least, most } = scramIterations
  return Number.isInteger(iterations) && iterations >= least && iterations <= most
}

/**
 * The salt of 16 bytes that a server with `secret` has, as the one at `position`, 0 .. 3, for a user's password in clear,
 * and for unknown names.
 */
export function saltOf(secret: Buffer, user: string, position: number): Buffer {
  return hmac(secret, `salt ${position} ${user}`).subarray(0, 16)
}

/**
 * Makes the verifier that a server offers for an unknown name: always the same for one name and position, so that the
 * exchange looks like any other and fails at its end, as with a wrong password. `counts`: the rounds of the known users,
 * one of which is taken.
 */
export function pretendVerifier(
  secret: Buffer,
  user: string,
  position: number,
  counts: readonly number[] = [],
): Verifier {
  const storedKey = hmac(secret, `stored ${user}`)
  const draw = hmac(secret, `rounds ${user}`).readUInt32BE(0)
  const iterations = counts[draw % counts.length] ?? scramIterations.plain
  return {
    iterations,
    salt: saltOf(secret, user, position),
    storedKey,
    serverKey: hmac(secret, `server ${user}`),
  }
}

function fieldsOf(message: string, ...names: readonly string[]): string[] {
  const parts = message.split(',')
  return names.map((name, index) => {
    const part = parts[index]
    if (part === undefined || !part.startsWith(`${name}=`)) throw fail(`missing ${name}=`)
    return part.slice(2)
  })
}

const encodeName = (name: string): string => name.replaceAll('=', '=3D').replaceAll(',', '=2C')
const decodeName = (name: string): string => name.replaceAll('=2C', ',').replaceAll('=3D', '=')

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ (b[index] ?? 0)))
}

const saltsMax = 64

const equal = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)

/** One user's password and what was derived from it, which depends on a server's salt alone. */
export class ScramCredentials {
  readonly user: string
  readonly #password: string
  readonly #keyOf: KeyDerivation
  readonly #salted = new Map<string, Buffer | Promise<Buffer>>()

  constructor(user: string, password: string, keyOf: KeyDerivation = threadKeyDerivation) {
    this.user = user
    this.#password = password
    this.#keyOf = keyOf
  }

  /** The salted password of RFC 5802; `salt` in base64. */
  salted(salt: string, iterations: number): Buffer | Promise<Buffer> {
    const key = `${iterations}:${salt}`
    const known = this.#salted.get(key)
    if (known !== undefined) return known
    const fresh = this.#keyOf(normalized(this.#password), Buffer.from(salt, 'base64'), iterations)
    if (this.#salted.size >= saltsMax) this.#salted.clear()
    this.#salted.set(key, fresh)
    return fresh
  }
}

/**
 * The GS2 header and the `c` attribute of RFC 5802. `exporter`: 32 bytes of the TLS connection (RFC 9266), if it
 * is one. A peer of another kind is refused, so that nobody between the two can take TLS away.
 */
function bindingOf(exporter: Buffer | undefined): readonly [header: string, attribute: string] {
  const header = exporter === undefined ? 'n,,' : 'p=tls-exporter,,'
  const bytes = Buffer.concat([Buffer.from(header), exporter ?? Buffer.alloc(0)])
  return [header, bytes.toString('base64')]
}

/** One exchange as the client sees it. Every method throws `authentication` on a false server. */
export class ScramClient {
  readonly #credentials: ScramCredentials
  readonly #firstBare: string
  readonly #nonce: string
  readonly #header: string
  readonly #binding: string
  #serverSignature: Buffer = Buffer.alloc(0)

  /** `nonce`: 18 random bytes. `exporter`: of the TLS connection that this goes over, if it is one. */
  constructor(credentials: ScramCredentials, nonce: Buffer, exporter?: Buffer) {
    this.#credentials = credentials
    this.#nonce = nonce.toString('base64')
    this.#firstBare = `n=${encodeName(credentials.user)},r=${this.#nonce}`
    ;[this.#header, this.#binding] = bindingOf(exporter)
  }

  first(): string {
    return `${this.#header}${this.#firstBare}`
  }

  /** `extension`: an attribute `x=...` without commas that the proof covers as well. */
  async final(serverFirst: string, extension?: string): Promise<string> {
    const [nonce, salt, count] = fieldsOf(serverFirst, 'r', 's', 'i') as [string, string, string]
    const iterations = Number(count)
    if (!nonce.startsWith(this.#nonce) || nonce.length < this.#nonce.length + 16) {
      throw fail('the server did not extend our nonce')
    }
    if (!areAcceptable(iterations)) throw fail(`the server asks for ${count} rounds`)
    const salted = await this.#credentials.salted(salt, iterations)
    const parts = [`c=${this.#binding}`, `r=${nonce}`, ...(extension ? [extension] : [])]
    const withoutProof = parts.join(',')
    const authMessage = `${this.#firstBare},${serverFirst},${withoutProof}`
    const clientKey = hmac(salted, 'Client Key')
    const proof = xor(clientKey, hmac(hash(clientKey), authMessage))
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage)
    return `${withoutProof},p=${proof.toString('base64')}`
  }

  /** Checks the server's final message. Returns when the server has shown that it knows the verifier. */
  verify(serverFinal: string): void {
    const [signature] = fieldsOf(serverFinal, 'v') as [string]
    if (!equal(Buffer.from(signature, 'base64'), this.#serverSignature)) {
      throw fail('the server does not know the password')
    }
  }
}

/** The salt, in base64, that a server offers in its first message. Throws `authentication`. */
export function saltOfServerFirst(serverFirst: string): string {
  const [, salt] = fieldsOf(serverFirst, 'r', 's') as [string, string]
  return salt
}

/** The user name in a client's first message, before anything is known of it. Throws `authentication`. */
export function userOfClientFirst(clientFirst: string): string {
  const [name] = fieldsOf(bareOf(clientFirst), 'n', 'r') as [string, string]
  return decodeName(name)
}

/** A client's first message without the GS2 header. */
function bareOf(clientFirst: string): string {
  const parts = /^(?:n|y|p=[\w.-]+),,(.*)$/s.exec(clientFirst)
  if (parts?.[1] === undefined) throw fail('not the first message of a client')
  return parts[1]
}

/** One exchange as the server sees it. */
export class ScramServer {
  readonly #verifier: Verifier
  readonly #nonce: string
  readonly #firstBare: string
  readonly #serverFirst: string
  readonly #binding: string

  /**
   * `exporter`: of the TLS connection that the message came over, if it is one. Throws `authentication` when
   * the client binds its login to something else.
   */
  constructor(verifier: Verifier, clientFirst: string, nonce: Buffer, exporter?: Buffer) {
    const [header, binding] = bindingOf(exporter)
    this.#binding = binding
    if (!clientFirst.startsWith(header)) throw fail('the login is not bound to this connection')
    this.#verifier = verifier
    this.#firstBare = bareOf(clientFirst)
    const [, clientNonce] = fieldsOf(this.#firstBare, 'n', 'r') as [string, string]
    if (clientNonce.length < 16) throw fail('the nonce is too short')
    this.#nonce = clientNonce + nonce.toString('base64')
    const salt = verifier.salt.toString('base64')
    this.#serverFirst = `r=${this.#nonce},s=${salt},i=${verifier.iterations}`
  }

  first(): string {
    return this.#serverFirst
  }

  /**
   * The server's final message, the attributes of the client's that the proof covers beside those of RFC
   * 5802, and the keys of the password that the client has shown to know. Throws `authentication`.
   */
  final(clientFinal: string): {
    readonly serverFinal: string
    readonly extensions: string[]
    readonly keys: VerifierKeys
  } {
    const at = clientFinal.lastIndexOf(',p=')
    if (at === -1) throw fail('there is no proof')
    const withoutProof = clientFinal.slice(0, at)
    const [binding, nonce] = fieldsOf(withoutProof, 'c', 'r') as [string, string]
    if (binding !== this.#binding || nonce !== this.#nonce) throw fail('wrong nonce or binding')
    const authMessage = `${this.#firstBare},${this.#serverFirst},${withoutProof}`
    const given = Buffer.from(clientFinal.slice(at + 3), 'base64')
    const { old } = this.#verifier
    const keys = [this.#verifier, ...(old === undefined ? [] : [old])].find(({ storedKey }) => {
      const signature = hmac(storedKey, authMessage)
      if (given.length !== signature.length) throw fail('malformed proof')
      return equal(hash(xor(given, signature)), storedKey)
    })
    if (keys === undefined) throw fail('wrong proof')
    const serverFinal = `v=${hmac(keys.serverKey, authMessage).toString('base64')}`
    return { serverFinal, extensions: withoutProof.split(',').slice(2), keys }
  }
}
