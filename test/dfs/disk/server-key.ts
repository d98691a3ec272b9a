import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ServerKey } from '../../../src/dfs/disk/server-key.js'
import { isKeyName, isLoopback } from '../../../src/tls.js'

t.test(
  'a key is made once, for its owner alone, and named by the digest of its public half',
  async (t) => {
    const folder = t.testdir()
    const { name, tls } = await ServerKey.open(folder)
    t.ok(isKeyName(name))
    t.equal((await ServerKey.open(folder)).name, name)
    const file = join(folder, 'key.pem')
    t.equal(statSync(file).mode & 0o777, 0o600)
    // As RFC 7469 names it, by other means than ours.
    const pin =
      'openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64'
    const digest = execFileSync('sh', ['-c', pin], { input: tls.certificate }).toString().trim()
    t.equal(name, `sha256:${digest}`)
    const other = t.testdir()
    t.not((await ServerKey.open(other)).name, name)
  },
)

t.test('of several that are made at once one is the key', async (t) => {
  const folder = t.testdir()
  const keys = await Promise.all([1, 2, 3, 4].map(() => ServerKey.open(folder)))
  t.equal(new Set(keys.map(({ name }) => name)).size, 1)
  t.same(readdirSync(folder), ['key.pem'])
})

t.test('a damaged key is refused, and never made anew', async (t) => {
  const folder = t.testdir()
  const { tls } = await ServerKey.open(folder)
  const file = join(folder, 'key.pem')
  const whole = readFileSync(file, 'utf8')
  const ofAnother = (await ServerKey.open(t.testdir({ other: {} }).concat('/other'))).tls
  const damaged = [
    '',
    whole.slice(0, 200),
    whole.replaceAll('A', 'B'),
    tls.privateKey,
    tls.certificate,
    `${tls.privateKey}${ofAnother.certificate}`,
  ]
  for (const text of damaged) {
    const own = t.testdir({ 'key.pem': text })
    await t.rejects(ServerKey.open(own), {
      code: 'configuration',
      message: /not the key of a server/,
    })
    t.equal(readFileSync(join(own, 'key.pem'), 'utf8'), text)
  }
})

t.test('loopback is what never leaves the machine', async (t) => {
  for (const host of [
    '127.0.0.1',
    '127.9.9.9',
    '::1',
    '::ffff:127.0.0.1',
    'localhost',
    'LOCALHOST',
  ]) {
    t.ok(isLoopback(host), host)
  }
  for (const host of [
    '128.0.0.1',
    '10.0.0.1',
    '::2',
    '::ffff:10.0.0.1',
    'localhost.example',
    '?',
    '127.0.0.1.example',
    '0.0.0.0',
  ]) {
    t.notOk(isLoopback(host), host)
  }
})
