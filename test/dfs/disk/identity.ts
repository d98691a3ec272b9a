import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Identity } from '../../../src/dfs/disk/identity.js'
import { Seeded } from '../../fixtures/seeded.js'

const cluster = '00112233445566778899aabbccddeeff'
const other = 'ffeeddccbbaa99887766554433221100'

t.test('stays the same for life and differs from folder to folder', async (t) => {
  const folder = t.testdir({ a: {}, b: {} })
  const random = new Seeded(1)
  const identity = Identity.open(join(folder, 'a'), random)
  const again = Identity.open(join(folder, 'a'), random)
  const another = Identity.open(join(folder, 'b'), random)
  t.equal(again.server, identity.server)
  t.same(again.secret, identity.secret)
  t.not(another.server, identity.server)
  t.equal(identity.server.length, 32)
  t.equal(identity.secret.length, 32)
  t.same([identity.cluster, identity.position], [null, null])
})

t.test('is claimed once, and the same claim again is no harm', async (t) => {
  const folder = t.testdir({})
  const identity = Identity.open(folder, new Seeded(1))
  identity.claim(cluster, 2)
  identity.claim(cluster, 2)
  const again = Identity.open(folder, new Seeded(2))
  t.same([again.cluster, again.position], [cluster, 2])
  t.throws(() => again.claim(other, 2), { code: 'wrongServer', message: /another cluster/ })
  t.throws(() => again.claim(cluster, 1), {
    code: 'wrongServer',
    message: /is number 3 of its cluster, not number 2: the servers are in another order/,
  })
  t.same([again.cluster, again.position], [cluster, 2])
})

t.test('knows four positions', async (t) => {
  const identity = Identity.inMemory(new Seeded(1))
  t.throws(() => identity.claim(cluster, 4), { code: 'invalid' })
  identity.claim(cluster, 3)
  t.equal(identity.position, 3)
})

t.test('lies in one file that only its owner can read', async (t) => {
  const folder = t.testdir({})
  Identity.open(folder, new Seeded(1)).claim(cluster, 0)
  t.same(readdirSync(folder), ['identity.json'])
  t.equal(statSync(join(folder, 'identity.json')).mode & 0o777, 0o600)
})

t.test('refuses a damaged file instead of becoming somebody else', async (t) => {
  const folder = t.testdir({})
  Identity.open(folder, new Seeded(1)).claim(cluster, 0)
  const file = join(folder, 'identity.json')
  const text = readFileSync(file, 'utf8')
  const bad = [
    '',
    'null',
    '{}',
    text.slice(0, 50),
    text.replace('"position": 0', '"position": 4'),
    text.replace('"position": 0', '"position": null'),
    text.replace(cluster, 'x'),
  ]
  for (const damaged of bad) {
    writeFileSync(file, damaged)
    const open = (): unknown => Identity.open(folder, new Seeded(2))
    t.throws(open, { code: 'configuration', message: `${file}: not a server's identity` }, damaged)
  }
})
