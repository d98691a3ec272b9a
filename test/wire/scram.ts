import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import t from 'tap'
import {
  formatVerifier,
  makeVerifier,
  parseVerifier,
  pretendVerifier,
  ScramClient,
  ScramCredentials,
  ScramServer,
  scramIterations,
  userOfClientFirst,
  type Verifier,
} from '../../src/wire/scram.js'
import { Seeded } from '../fixtures/seeded.js'

const refused = { name: 'DfsError', code: 'authentication' }
const random = new Seeded(1)
const verifierOf = (password: string): Promise<Verifier> =>
  makeVerifier(password, random.bytes(16), scramIterations.least)

/** Runs a whole exchange. Resolves when both sides accept, throws the error of the side that does not. */
async function exchange(client: ScramClient, verifier: Verifier): Promise<void> {
  const server = new ScramServer(verifier, client.first(), random.bytes(18))
  const { serverFinal } = server.final(await client.final(server.first()))
  client.verify(serverFinal)
}

function clientOf(user: string, password: string): ScramClient {
  return new ScramClient(new ScramCredentials(user, password), random.bytes(18))
}

// RFC 7677, section 3.
const vector = {
  clientNonce: 'rOprNGfwEbeRWgbNEkqO',
  salt: 'W22ZaJ0SNY7soEsUEjb6gQ==',
  clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
  serverFirst:
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  clientFinal:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
}

t.test('sends the messages of the client of RFC 7677', async (t) => {
  const nonce = Buffer.from(vector.clientNonce, 'base64')
  const client = new ScramClient(new ScramCredentials('user', 'pencil'), nonce)
  t.equal(client.first(), vector.clientFirst)
  t.equal(await client.final(vector.serverFirst), vector.clientFinal)
  client.verify(vector.serverFinal)
  t.throws(() => client.verify(vector.serverFinal.replace('6', '7')), refused)
})

t.test('makes the verifier that signs as the server of RFC 7677 does', async (t) => {
  const verifier = await makeVerifier('pencil', Buffer.from(vector.salt, 'base64'), 4096)
  const withoutProof = vector.clientFinal.replace(/,p=.*/, '')
  const message = [vector.clientFirst.slice(3), vector.serverFirst, withoutProof].join(',')
  const signature = createHmac('sha256', verifier.serverKey).update(message).digest('base64')
  t.equal(`v=${signature}`, vector.serverFinal)
})

t.test('accepts a client with the password, whatever the name and the password are', async (t) => {
  for (const user of ['alice', 'a=b,c=2C', 'müller']) {
    for (const password of ['secret', 'ﬁ Å', ',= ', 'x'.repeat(500)]) {
      const client = clientOf(user, password)
      t.equal(userOfClientFirst(client.first()), user)
      await exchange(client, await verifierOf(password))
    }
  }
})

t.test('takes the two Unicode forms of a password for the same', async () => {
  await exchange(clientOf('alice', 'A\u030a'), await verifierOf('\u00c5'))
})

/** As passwords were salted before SASLprep. */
const storedKeyOfNfkc = (password: string, salt: Buffer): Buffer => {
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, 4096, 32, 'sha256')
  const clientKey = createHmac('sha256', salted).update('Client Key').digest()
  return createHash('sha256').update(clientKey).digest()
}

t.test('keeps the passwords that were set under NFKC', async (t) => {
  const ascii = String.fromCharCode(...Array.from({ length: 95 }, (_, index) => index + 32))
  const kept = [
    ascii,
    'Grüße',
    'ça va',
    'пароль',
    'κωδικός',
    '密码',
    'パスワード',
    '암호',
    'ﬁ Å',
    'Ⅸª',
  ]
  const others = ['A\u030angstr\u00f6m', 'a\u00a0b', 'סיסמה', 'كلمة']
  for (const password of [...kept, ...others]) {
    const salt = random.bytes(16)
    const { storedKey } = await makeVerifier(password, salt, 4096)
    t.same(storedKey, storedKeyOfNfkc(password, salt), password)
  }
})

t.test('drops what cannot be seen, as SASLprep does and NFKC does not', async () => {
  await exchange(clientOf('alice', 'I\u00adX'), await verifierOf('IX'))
  await exchange(clientOf('alice', 'a\u1680b'), await verifierOf('a b'))
})

t.test('takes characters that are younger than SASLprep', async () => {
  await exchange(clientOf('alice', 'x👍'), await verifierOf('x👍'))
})

t.test('refuses what SASLprep prohibits, and does not quote it', async (t) => {
  const prohibited = ['x\ny', '\u0007x', 'x\ue000', '\ud800x', 'אx', 'א1', '', '\u00ad']
  for (const password of prohibited) {
    const message = /^The password has to be a text that SASLprep \(RFC 4013\) allows/
    await t.rejects(verifierOf(password), { code: 'invalid', message }, JSON.stringify(password))
    t.throws(() => new ScramCredentials('alice', password).salted('AAAA', 1), { code: 'invalid' })
  }
})

t.test('refuses another password, and a name that is not known', async (t) => {
  await t.rejects(exchange(clientOf('alice', 'Secret'), await verifierOf('secret')), refused)
  const pretended = pretendVerifier(random.bytes(32), 'alice', 0)
  await t.rejects(exchange(clientOf('alice', 'secret'), pretended), refused)
})

t.test('pretends the same verifier for the same name, and another for another', async (t) => {
  const secret = random.bytes(32)
  const offered = (name: string): string => formatVerifier(pretendVerifier(secret, name, 0))
  t.equal(offered('alice'), offered('alice'))
  t.not(offered('alice'), offered('bob'))
  t.equal(pretendVerifier(secret, 'alice', 0).iterations, scramIterations.plain)
  const drawn = Array.from(
    { length: 50 },
    (_, index) => pretendVerifier(secret, `user${index}`, 0, [5000, 100_000]).iterations,
  )
  t.same(new Set(drawn), new Set([5000, 100_000]), 'rounds are those of some user')
  t.equal(pretendVerifier(secret, 'alice', 0).salt.length, 16)
})

t.test('unmasks a server that does not know the verifier', async (t) => {
  const client = clientOf('alice', 'secret')
  const verifier = await verifierOf('secret')
  const server = new ScramServer(verifier, client.first(), random.bytes(18))
  await client.final(server.first())
  const wrong = createHmac('sha256', verifier.storedKey).update('x').digest('base64')
  t.throws(() => client.verify(`v=${wrong}`), refused)
  t.throws(() => client.verify('e=other-error'), refused)
  t.throws(() => client.verify('v='), refused)
})

t.test('refuses a server that answers to another nonce or asks for absurd work', async (t) => {
  const client = clientOf('alice', 'secret')
  const own = client.first().split('r=')[1]
  const salt = vector.salt
  const bad = [
    `r=x${own}0123456789abcdef01234567,s=${salt},i=4096`,
    `r=${own},s=${salt},i=4096`,
    `r=${own}0123456789abcdef01234567,s=${salt},i=600001`,
    `r=${own}0123456789abcdef01234567,s=${salt},i=4095`,
    `r=${own}0123456789abcdef01234567,s=${salt},i=x`,
    `r=${own}0123456789abcdef01234567,s=${salt}`,
    '',
  ]
  for (const serverFirst of bad) await t.rejects(client.final(serverFirst), refused, serverFirst)
})

t.test('refuses a proof that was made for another exchange', async (t) => {
  const verifier = await verifierOf('secret')
  const client = clientOf('alice', 'secret')
  const first = new ScramServer(verifier, client.first(), random.bytes(18))
  const second = new ScramServer(verifier, client.first(), random.bytes(18))
  const proof = await client.final(first.first())
  t.throws(() => second.final(proof), refused)
  t.match(first.final(proof), { serverFinal: /^v=/ })
})

t.test('covers an attribute of the client by its proof', async (t) => {
  const verifier = await verifierOf('secret')
  const client = clientOf('alice', 'secret')
  const server = new ScramServer(verifier, client.first(), random.bytes(18))
  const final = await client.final(server.first(), 'd=mine')
  t.match(server.final(final), { serverFinal: /^v=/, extensions: ['d=mine'] })
  t.throws(() => server.final(final.replace('d=mine', 'd=other')), refused)
  t.throws(() => server.final(final.replace(',d=mine', '')), refused)
  t.throws(() => server.final(final.replace('d=mine', 'd=mine,d=more')), refused)
})

t.test('derives no key where a server asks for too few rounds or too many', async (t) => {
  const asked: number[] = []
  const credentials = new ScramCredentials('alice', 'secret', (_password, _salt, rounds) => {
    asked.push(rounds)
    return Buffer.alloc(32)
  })
  const client = new ScramClient(credentials, random.bytes(18))
  const own = client.first().split('r=')[1]
  const offer = (rounds: number) => `r=${own}0123456789abcdef01234567,s=${vector.salt},i=${rounds}`
  for (const rounds of [1, 4095, 600_001, 1_000_000]) {
    await t.rejects(client.final(offer(rounds)), refused, `${rounds}`)
  }
  t.same(asked, [])
  await client.final(offer(4096))
  await client.final(offer(600_000))
  t.same(asked, [4096, 600_000])
})

t.test('lets all else go on while the most rounds are derived', async (t) => {
  let ticks = 0
  const timer = setInterval(() => {
    ticks += 1
  }, 1)
  t.teardown(() => clearInterval(timer))
  const salt = random.bytes(16).toString('base64')
  await new ScramCredentials('alice', 'secret').salted(salt, scramIterations.most)
  t.ok(ticks >= 10, `${ticks} ticks`)
})

t.test('refuses malformed messages of a client', async (t) => {
  const verifier = await verifierOf('secret')
  const bad = ['', 'y,,n=a,r=0123456789abcdef', 'n,,r=0123456789abcdef', 'n,,n=a', 'n,,n=a,r=short']
  for (const clientFirst of bad) {
    const start = (): unknown => {
      userOfClientFirst(clientFirst)
      return new ScramServer(verifier, clientFirst, random.bytes(18))
    }
    t.throws(start, refused, clientFirst)
  }
  const server = new ScramServer(verifier, clientOf('a', 'x').first(), random.bytes(18))
  const nonce = server.first().split(',')[0]
  for (const clientFinal of ['', 'c=biws', `c=biws,${nonce},p=`, `c=eSws,${nonce},p=AAAA`]) {
    t.throws(() => server.final(clientFinal), refused, clientFinal)
  }
})

t.test('reads back the verifier that it writes, and no other text', async (t) => {
  const text = formatVerifier(await verifierOf('secret'))
  t.match(text, /^SCRAM-SHA-256\$4096:[^$]+\$[^$]+$/)
  t.equal(formatVerifier(parseVerifier(text) ?? (await verifierOf('x'))), text)
  const bad = [
    '',
    'secret',
    text.slice(0, -4),
    text.replace('4096', '4095'),
    text.replace('4096', '600001'),
    `${text} `,
    text.slice(1),
  ]
  for (const wrong of bad) t.equal(parseVerifier(wrong), undefined, wrong)
})
