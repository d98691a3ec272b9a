/** The key that a server is known by over TLS: made once, for the life of its folder, and readable by its owner alone. */
import { createPrivateKey, type webcrypto, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { createDurably } from '../../durable.js'
import { DfsError } from '../../errors.js'
import { readNamedFile } from '../../named-file.js'
import { keyNameOf, type TlsKey } from '../../tls.js'

/** The name of the file in the server's folder: the private key and the certificate, in PEM. */
const serverKeyFile = 'key.pem'

const algorithm = { name: 'Ed25519' } as const
/** Clients know a server by its key, which does not expire. */
const forEver = { notBefore: new Date(0), notAfter: new Date('9999-12-31T23:59:59Z') } as const

export class ServerKey {
  readonly tls: TlsKey
  /** Names the key for people and for configurations: `sha256:...`. */
  readonly name: string

  private constructor(pem: string, file: string) {
    try {
      const [privateKey, certificate] = [blockOf(pem, 'PRIVATE KEY'), blockOf(pem, 'CERTIFICATE')]
      const parsed = new X509Certificate(certificate)
      if (!parsed.checkPrivateKey(createPrivateKey(privateKey))) throw new Error('two keys')
      this.tls = { privateKey, certificate }
      this.name = keyNameOf(parsed)
    } catch (cause) {
      const remedy = `put back a copy of it, or remove it: then a new key is made, and every client has to be told with "dfc trust"`
      throw new DfsError('configuration', `${file}: not the key of a server: ${remedy}`, { cause })
    }
  }

  /** The key of `folder`, which is made and stored durably when there is none yet. Throws `configuration`. */
  static async open(folder: string): Promise<ServerKey> {
    const file = join(folder, serverKeyFile)
    const known = textOf(file)
    if (known !== undefined) return new ServerKey(known, file)
    const fresh = await makeKey()
    // Another process may have made one meanwhile: then that is the key.
    createDurably(file, fresh, 0o600)
    return new ServerKey(textOf(file) ?? fresh, file)
  }
}

function textOf(file: string): string | undefined {
  try {
    return readNamedFile(file)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    if (!(thrown instanceof DfsError)) throw thrown
    throw new DfsError('configuration', `${file}: ${thrown.message}`, { cause: thrown })
  }
}

/** The block of PEM (RFC 7468) with this label; '' when there is none. */
function blockOf(pem: string, label: string): string {
  const block = new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n`).exec(pem)
  return block?.[0] ?? ''
}

/** The library is large, and needed once in the life of a server. */
async function makeKey(): Promise<string> {
  await import('reflect-metadata')
  const { PemConverter, X509CertificateGenerator } = await import('@peculiar/x509')
  const { subtle } = globalThis.crypto
  const keys = (await subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=dfs-server',
    ...forEver,
    keys,
    signingAlgorithm: algorithm,
  })
  const privateKey = await subtle.exportKey('pkcs8', keys.privateKey)
  const blocks = [PemConverter.encode(privateKey, 'PRIVATE KEY'), certificate.toString('pem')]
  return blocks.map((block) => `${block.trimEnd()}\n`).join('')
}
