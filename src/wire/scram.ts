/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding, as pure steps: the link and the session exchange the
 * texts. The password never travels, the server stores only a salted verifier, and a server that does not know the
 * verifier cannot pass for one that does.
 */
import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto'
import { DfsError } from '../errors.js'
import { prepared, preparedRule } from '../password.js'

const scheme = 'SCRAM-SHA-256'
const channelBinding = Buffer.from('n,,').toString('base64')

/** RFC 7677 asks for at least 4096 iterations. */
export const scramIterations = 8192
const iterationsMax = 1_000_000

/** The data that a server stores for a password. */
export interface Verifier {
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

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

function saltPassword(password: string, salt: Buffer, iterations: number): Buffer {
  return pbkdf2Sync(normalized(password), salt, iterations, 32, 'sha256')
}

/** Computes the verifier of `password` with a random `salt` of 16 bytes. */
export function makeVerifier(
  password: string,
  salt: Buffer,
  iterations = scramIterations,
): Verifier {
  const salted = saltPassword(password, salt, iterations)
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
  if (iterations < 1 || iterations > iterationsMax) return undefined
  return { iterations, salt, storedKey, serverKey }
}

/**
 * Makes the verifier that a server offers for an unknown name: always the same for one name, so that the exchange
 * looks like any other and fails at its end, as with a wrong password.
 */
export function pretendVerifier(secret: Buffer, user: string): Verifier {
  const salt = hmac(secret, `salt ${user}`).subarray(0, 16)
  const storedKey = hmac(secret, `stored ${user}`)
  return { iterations: scramIterations, salt, storedKey, serverKey: hmac(secret, `server ${user}`) }
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

const equal = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)

/** Remembers the slow part of the exchange, which depends on the server's salt alone. */
export class ScramCredentials {
  readonly user: string
  readonly #password: string
  readonly #salted = new Map<string, Buffer>()

  /** The names of users are printable ASCII, which SASLprep leaves as it is. */
  constructor(user: string, password: string) {
    this.user = user
    this.#password = password
  }

  salted(salt: string, iterations: number): Buffer {
    const key = `${iterations}:${salt}`
    const known = this.#salted.get(key)
    if (known !== undefined) return known
    const fresh = saltPassword(this.#password, Buffer.from(salt, 'base64'), iterations)
    if (this.#salted.size > 64) this.#salted.clear()
    this.#salted.set(key, fresh)
    return fresh
  }
}

/** One exchange as the client sees it. Every method throws `authentication` on a false server. */
export class ScramClient {
  readonly #credentials: ScramCredentials
  readonly #firstBare: string
  readonly #nonce: string
  #serverSignature: Buffer = Buffer.alloc(0)

  constructor(credentials: ScramCredentials, nonce: Buffer) {
    this.#credentials = credentials
    this.#nonce = nonce.toString('base64')
    this.#firstBare = `n=${encodeName(credentials.user)},r=${this.#nonce}`
  }

  first(): string {
    return `n,,${this.#firstBare}`
  }

  final(serverFirst: string): string {
    const [nonce, salt, count] = fieldsOf(serverFirst, 'r', 's', 'i') as [string, string, string]
    const iterations = Number(count)
    if (!nonce.startsWith(this.#nonce) || nonce.length < this.#nonce.length + 16) {
      throw fail('the server did not extend our nonce')
    }
    if (!Number.isInteger(iterations) || iterations < 1 || iterations > iterationsMax) {
      throw fail('bad iteration count')
    }
    const salted = this.#credentials.salted(salt, iterations)
    const withoutProof = `c=${channelBinding},r=${nonce}`
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

/** Returns the user name in a client's first message, before the client is authenticated. */
export function userOfClientFirst(clientFirst: string): string {
  if (!clientFirst.startsWith('n,,')) throw fail('channel binding is not supported')
  const [name] = fieldsOf(clientFirst.slice(3), 'n', 'r') as [string, string]
  return decodeName(name)
}

/** One exchange as the server sees it. */
export class ScramServer {
  readonly #verifier: Verifier
  readonly #nonce: string
  readonly #firstBare: string
  readonly #serverFirst: string

  constructor(verifier: Verifier, clientFirst: string, nonce: Buffer) {
    this.#verifier = verifier
    this.#firstBare = clientFirst.slice(3)
    const [, clientNonce] = fieldsOf(this.#firstBare, 'n', 'r') as [string, string]
    if (clientNonce.length < 16) throw fail('the nonce is too short')
    this.#nonce = clientNonce + nonce.toString('base64')
    const salt = verifier.salt.toString('base64')
    this.#serverFirst = `r=${this.#nonce},s=${salt},i=${verifier.iterations}`
  }

  first(): string {
    return this.#serverFirst
  }

  /** Checks the client's final message and returns the server's. Throws `authentication`. */
  final(clientFinal: string): string {
    const [binding, nonce, proof] = fieldsOf(clientFinal, 'c', 'r', 'p') as [string, string, string]
    if (binding !== channelBinding || nonce !== this.#nonce) throw fail('wrong nonce or binding')
    const authMessage = `${this.#firstBare},${this.#serverFirst},c=${binding},r=${nonce}`
    const given = Buffer.from(proof, 'base64')
    const signature = hmac(this.#verifier.storedKey, authMessage)
    if (given.length !== signature.length) throw fail('malformed proof')
    if (!equal(hash(xor(given, signature)), this.#verifier.storedKey)) throw fail('wrong proof')
    return `v=${hmac(this.#verifier.serverKey, authMessage).toString('base64')}`
  }
}
