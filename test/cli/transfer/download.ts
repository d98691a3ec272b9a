/** What `dfc get` does where something is in the way on this machine, or gets there while it runs. */
import { createHash } from 'node:crypto'
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs'
import t from 'tap'
import { UserOfDfc } from '../../fixtures/client.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { startServers } from '../../fixtures/servers.js'

const done = { status: 0, out: '', problems: '' }

t.setTimeout(240_000)
const servers = await startServers(t)
const proxies = await MessageProxies.open(t, servers)
const alice = new UserOfDfc(`${t.testdirName}/alice`, proxies.config())

mkdirSync(alice.path('tree/sub'), { recursive: true })
alice.write('tree/file', 'new')
alice.write('tree/sub/inner', 'new')
symlinkSync('of the tree', alice.path('tree/link'))
t.same(await alice.dfc('put', '-r', 'tree'), done)

/** A folder that nothing may be written to, with a file in it, and what was there. */
function outside(name: string): { readonly path: string; readonly isAsBefore: () => boolean } {
  const path = alice.path(name)
  mkdirSync(path)
  for (const file of ['file', 'inner']) alice.write(`${name}/${file}`, 'kept')
  utimesSync(path, 1, 1)
  const look = () => {
    const { mode, mtimeMs } = statSync(path)
    const files = readdirSync(path).map((file) => readFileSync(`${path}/${file}`, 'utf8'))
    return JSON.stringify([mode, mtimeMs, files])
  }
  const before = look()
  return { path, isAsBefore: () => look() === before }
}

t.test('links in the way are replaced', async (t) => {
  const { path, isAsBefore } = outside('beside')
  mkdirSync(alice.path('got'))
  for (const [name, to] of [
    ['sub', path],
    ['file', `${path}/file`],
    ['link', `${path}/file`],
  ] as const) {
    symlinkSync(to, alice.path(`got/${name}`))
  }
  t.same(await alice.dfc('get', '-r', 'tree/.', 'got'), done)
  t.ok(isAsBefore(), 'nothing is written through them')
  t.equal(readFileSync(alice.path('got/file'), 'utf8'), 'new')
  t.equal(readFileSync(alice.path('got/sub/inner'), 'utf8'), 'new')
  t.equal(readlinkSync(alice.path('got/link')), 'of the tree')
})

t.test('a link that has the name of what is got is replaced', async (t) => {
  const { path, isAsBefore } = outside('elsewhere')
  symlinkSync(`${path}/file`, alice.path('file'))
  t.same(await alice.dfc('get', 'tree/file'), done)
  mkdirSync(alice.path('into'))
  symlinkSync(path, alice.path('into/sub'))
  t.same(await alice.dfc('get', '-r', 'tree/sub', 'into'), done)
  t.ok(isAsBefore())
  t.ok(lstatSync(alice.path('file')).isFile())
  t.equal(readFileSync(alice.path('into/sub/inner'), 'utf8'), 'new')
})

t.test('links that the user has written out are followed', async (t) => {
  mkdirSync(alice.path('behind'))
  symlinkSync('behind', alice.path('to-folder'))
  symlinkSync('behind/new', alice.path('to-file'))
  alice.write('behind/new', 'old')
  t.same(await alice.dfc('get', 'tree/file', 'to-file'), done)
  t.equal(readFileSync(alice.path('behind/new'), 'utf8'), 'new')
  t.same(await alice.dfc('get', '-r', 'tree', 'to-folder'), done)
  t.same(readdirSync(alice.path('behind/tree')), ['file', 'link', 'sub'])
})

t.test('a folder that becomes a link while it is filled is not left', async (t) => {
  const { path, isAsBefore } = outside('far')
  mkdirSync(alice.path('swapped'))
  let isSwapped = false
  proxies.watch(({ verb, isAnswer }) => {
    if (isSwapped || isAnswer || !/^get.*Piece/.test(verb)) return
    isSwapped = true
    renameSync(alice.path('swapped/sub'), alice.path('swapped/aside'))
    symlinkSync(path, alice.path('swapped/sub'))
  })
  await alice.dfc('get', '-r', 'tree/sub', 'swapped')
  t.ok(isSwapped)
  t.ok(isAsBefore(), 'neither written to, nor given another mode or time')
  t.equal(readFileSync(alice.path('swapped/aside/inner'), 'utf8'), 'new')
})

t.test('a folder, a device or a pipe is not replaced by a file', async (t) => {
  mkdirSync(alice.path('full/file'), { recursive: true })
  mkdirSync(alice.path('pipe'))
  await alice.sh('mkfifo pipe/file')
  const folder = await alice.dfc('get', '-r', 'tree/.', 'full')
  t.match(folder, { status: 1, problems: /tree\/\.\/file: full\/file: Is a directory\n$/ })
  const pipe = await alice.dfc('get', '-r', 'tree/.', 'pipe')
  t.match(pipe, { status: 1, problems: /pipe\/file: File exists, and is a device or a pipe\n$/ })
})

t.test('a file that was begun is no name to delete once it is whole', async (t) => {
  const name = createHash('sha256').update('file').digest('hex').slice(0, 24)
  mkdirSync(alice.path('begun'))
  alice.write(`begun/.dfc-part-${name}`, 'ne')
  alice.write('begun/other', 'x')
  const { status, problems } = await alice.dfc(
    ...['sync', '--down', '--delete', '--resume', 'tree', 'begun'],
  )
  t.match(problems, /, 0 failed$/m)
  t.equal(status, 0)
  t.same(readdirSync(alice.path('begun')).toSorted(), ['file', 'link', 'sub'])
})

t.test('a folder gives way to a file once that is fetched, and not before', async (t) => {
  mkdirSync(alice.path('large'))
  mkdirSync(alice.path('here/a'), { recursive: true })
  alice.write('large/a', Buffer.alloc(400_000, 'x'))
  alice.write('here/a/inner', 'precious')
  t.match(await alice.dfc('put', '-r', 'large'), { status: 0 })
  for (const resume of ['', '--resume']) {
    // A file of so many bytes cannot be written.
    const line = `ulimit -f 200; trap '' XFSZ; $DFC sync --down --delete ${resume} large here`
    t.match(await alice.sh(line), { status: 1, problems: /here\/a: File too large/ })
    t.equal(readFileSync(alice.path('here/a/inner'), 'utf8'), 'precious')
  }
  t.match(await alice.dfc('sync', '--down', '--delete', 'large', 'here'), { status: 0 })
  t.same(readdirSync(alice.path('here')), ['a'])
  t.equal(statSync(alice.path('here/a')).size, 400_000)
})

t.test('a file gives way to a folder, and goes when everything is fetched', async (t) => {
  mkdirSync(alice.path('deep/a'), { recursive: true })
  mkdirSync(alice.path('flat'))
  alice.write('deep/a/inner', Buffer.alloc(400_000, 'x'))
  alice.write('flat/a', 'precious')
  t.match(await alice.dfc('put', '-r', 'deep'), { status: 0 })
  const failed = await alice.sh(`ulimit -f 200; trap '' XFSZ; $DFC sync --down --delete deep flat`)
  const kept = /flat\/a: what gave way .* is kept as (\S+) until/.exec(failed.problems)?.[1]
  t.equal(readFileSync(alice.path(String(kept)), 'utf8'), 'precious')
  t.match(await alice.dfc('sync', '--down', '--delete', 'deep', 'flat'), { status: 0 })
  t.same(readdirSync(alice.path('flat')), ['a'])
  t.same(readdirSync(alice.path('flat/a')), ['inner'])
})
