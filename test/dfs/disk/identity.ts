import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Identity } from '../../../src/dfs/disk/identity.js'
import { Seeded } from '../../fixtures/seeded.js'

const cluster = '00112233445566778899aabbccddeeff'

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
  t.equal(identity.place, undefined)
})

t.test('keeps the place that a folder of 0.1.0 was claimed for', async (t) => {
  const folder = t.testdir({})
  const { server, secret } = Identity.open(folder, new Seeded(1))
  const old = { server, cluster, position: 2, secret: secret.toString('hex') }
  const file = join(folder, 'identity.json')
  writeFileSync(file, JSON.stringify(old))
  const again = Identity.open(folder, new Seeded(2))
  t.equal(again.server, server)
  t.same(again.place, { cluster, position: 2 })
  writeFileSync(file, JSON.stringify({ ...old, cluster: null, position: null }))
  t.equal(Identity.open(folder, new Seeded(2)).place, undefined, 'it was claimed for none')
})

t.test('lies in one file that only its owner can read', async (t) => {
  const folder = t.testdir({})
  Identity.open(folder, new Seeded(1))
  t.same(readdirSync(folder), ['identity.json'])
  t.equal(statSync(join(folder, 'identity.json')).mode & 0o777, 0o600)
})

t.test('refuses a damaged file instead of becoming somebody else', async (t) => {
  const folder = t.testdir({})
  Identity.open(folder, new Seeded(1))
  const file = join(folder, 'identity.json')
  const text = readFileSync(file, 'utf8')
  const bad = [
    '',
    'null',
    '{}',
    text.slice(0, 50),
    text.replace('"secret": "', '"secret": "x'),
    text.replace('"server": "', '"server": "00'),
    text.replace('{', '{ "cluster": "00112233445566778899aabbccddeeff", "position": 4,'),
    text.replace('{', '{ "cluster": "00112233445566778899aabbccddeeff", "position": null,'),
    text.replace('{', '{ "cluster": "x", "position": 0,'),
  ]
  for (const damaged of bad) {
    writeFileSync(file, damaged)
    const open = (): unknown => Identity.open(folder, new Seeded(2))
    t.throws(open, { code: 'configuration', message: `${file}: not a server's identity` }, damaged)
  }
})
