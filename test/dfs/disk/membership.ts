import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Membership } from '../../../src/dfs/disk/membership.js'

const cluster = '00112233445566778899aabbccddeeff'
const other = 'ffeeddccbbaa99887766554433221100'
const placeOf = ({ cluster, position }: Membership) => ({ cluster, position })

t.test('belongs nowhere at first, and where it was claimed for after that', async (t) => {
  const folder = t.testdir({})
  const membership = Membership.open(folder, undefined)
  t.same(placeOf(membership), { cluster: null, position: null })
  t.same(readdirSync(folder), [])
  membership.claim({ cluster, position: 2 }, false)
  t.same(placeOf(membership), { cluster, position: 2 })
  t.same(placeOf(Membership.open(folder, undefined)), { cluster, position: 2 })
  t.same(readdirSync(folder), ['cluster.json'])
  t.equal(statSync(join(folder, 'cluster.json')).mode & 0o777, 0o600)
})

t.test('is claimed anew while the account is blank, and never after that', async (t) => {
  const folder = t.testdir({})
  const membership = Membership.open(folder, undefined)
  membership.claim({ cluster: other, position: 3 }, false)
  membership.claim({ cluster, position: 2 }, false)
  membership.claim({ cluster, position: 2 }, true)
  t.throws(() => membership.claim({ cluster: other, position: 2 }, true), {
    code: 'wrongServer',
    message: /another cluster/,
  })
  t.throws(() => membership.claim({ cluster, position: 1 }, true), {
    code: 'wrongServer',
    message: /is number 3 of the cluster, not number 2: the servers are in another order/,
  })
  t.same(placeOf(Membership.open(folder, undefined)), { cluster, position: 2 })
})

t.test('knows four positions', async (t) => {
  const membership = Membership.inMemory()
  t.throws(() => membership.claim({ cluster, position: 4 }, false), { code: 'invalid' })
  membership.claim({ cluster, position: 3 }, false)
  t.equal(membership.position, 3)
})

t.test('refuses the login that is meant for another place, and takes any while new', async (t) => {
  const membership = Membership.inMemory()
  membership.assertIs({ cluster: other, position: 3 })
  membership.claim({ cluster, position: 2 }, false)
  membership.assertIs({ cluster, position: 2 })
  membership.assertIs({ cluster: null, position: 2 })
  const refused = { code: 'wrongServer' }
  t.throws(() => membership.assertIs({ cluster: other, position: 2 }), refused)
  t.throws(() => membership.assertIs({ cluster: null, position: 1 }), refused)
})

t.test('takes over what the server was before accounts had a place of their own', async (t) => {
  const folder = t.testdir({})
  const before = { cluster, position: 1 }
  t.same(placeOf(Membership.open(folder, before)), before)
  Membership.open(folder, before).claim({ cluster: other, position: 2 }, false)
  t.same(placeOf(Membership.open(folder, before)), { cluster: other, position: 2 })
})

t.test('refuses a damaged file instead of belonging nowhere', async (t) => {
  const folder = t.testdir({})
  Membership.open(folder, undefined).claim({ cluster, position: 0 }, false)
  const file = join(folder, 'cluster.json')
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
    const open = (): unknown => Membership.open(folder, { cluster, position: 0 })
    t.throws(open, { code: 'disk', message: /cluster\.json does not say/ }, damaged)
  }
})
