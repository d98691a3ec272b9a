import { execFileSync } from 'node:child_process'
import { lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makePrivateFolder, writePrivate } from '../src/private-file.js'

t.test('folders are made for their owner alone, whatever the umask', async (t) => {
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const home = t.testdir({})
  makePrivateFolder(join(home, 'a/b/c'))
  makePrivateFolder(join(home, 'a/b/c'))
  for (const made of ['a', 'a/b', 'a/b/c']) t.equal(statSync(join(home, made)).mode & 0o777, 0o700)
})

t.test('a folder that cannot be made is refused with the reason of the file system', async (t) => {
  const long = join(t.testdir({}), 'x'.repeat(300))
  t.throws(() => makePrivateFolder(join(long, 'y')), { code: 'ENAMETOOLONG', path: long })
})

t.test('only a file is replaced, and nothing else is left beside it', async (t) => {
  const home = t.testdir({ folder: {} })
  const pipe = join(home, 'pipe')
  execFileSync('mkfifo', [pipe])
  symlinkSync('pipe', join(home, 'link'))
  for (const name of ['pipe', 'link', 'folder']) {
    const refused = { code: 'exists', message: /is there already and is no file/ }
    t.throws(() => writePrivate(join(home, name), 'x', true), refused, name)
  }
  t.ok(lstatSync(pipe).isFIFO())
  const file = join(home, 'file')
  writeFileSync(file, 'before', { mode: 0o644 })
  t.throws(() => writePrivate(file, 'x', false), { code: 'exists' })
  t.equal(readFileSync(file, 'utf8'), 'before')
  writePrivate(file, 'after', true)
  t.equal(readFileSync(file, 'utf8'), 'after')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.same(readdirSync(home).sort(), ['file', 'folder', 'link', 'pipe'])
})
