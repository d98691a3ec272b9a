import { lstatSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { LocalFolder } from '../../../src/cli/local/local-folder.js'

/** A folder with what may be in the way in it, and one beside it that a link leads to. */
async function openBox(t: Test): Promise<{ readonly path: string; readonly box: LocalFolder }> {
  const path = t.testdir({
    outside: { kept: '' },
    box: { link: t.fixture('symlink', '../outside'), file: '', folder: { inner: '' } },
  })
  const box = await LocalFolder.open(`${path}/box`, 'refuse')
  t.teardown(() => box.close())
  return { path, box }
}

t.test('a folder is entered, and made where there is none', async (t) => {
  const { path, box } = await openBox(t)
  const known = await box.enter('folder', 0o700)
  t.same(readdirSync(known.self), ['inner'])
  const made = await box.enter('made', 0o710)
  t.equal((await made.stat()).mode & 0o777n, 0o710n)
  writeFileSync(made.at('x'), 'x')
  t.same(readdirSync(`${path}/box/made`), ['x'])
  t.equal(made.pathOf('x'), `${path}/box/made/x`)
  for (const folder of [known, made]) await folder.close()
})

t.test('a link is replaced by a folder, and a file is not', async (t) => {
  const { path, box } = await openBox(t)
  await t.rejects(box.open('link'), { code: 'ENOTDIR' })
  const entered = await box.enter('link', 0o700)
  writeFileSync(entered.at('x'), 'x')
  await entered.close()
  t.same(readdirSync(`${path}/outside`), ['kept'])
  t.ok(lstatSync(`${path}/box/link`).isDirectory())
  await t.rejects(box.enter('file', 0o700), {
    code: 'notDirectory',
    message: `${path}/box/file: Not a directory`,
  })
})

t.test('an open folder stays the one that it was', async (t) => {
  const { path, box } = await openBox(t)
  const folder = await box.enter('folder', 0o700)
  renameSync(`${path}/box/folder`, `${path}/box/aside`)
  symlinkSync('../outside', `${path}/box/folder`)
  writeFileSync(folder.at('x'), 'x')
  mkdirSync(folder.at('y'))
  t.same(readdirSync(`${path}/outside`), ['kept'])
  t.same(readdirSync(`${path}/box/aside`), ['inner', 'x', 'y'])
  await folder.close()
})

t.test('a name that leads elsewhere is refused', async (t) => {
  const { box } = await openBox(t)
  for (const name of ['', '.', '..', '../outside', 'a/b', 'a\0b']) {
    t.throws(() => box.at(name), { code: 'illegalName' }, JSON.stringify(name))
    await t.rejects(box.enter(name, 0o700), { code: 'illegalName' })
  }
})

t.test('links at the end of a path are followed only where that is wanted', async (t) => {
  const { path } = await openBox(t)
  await t.rejects(LocalFolder.open(`${path}/box/link`, 'refuse'), { code: 'ENOTDIR' })
  const outside = await LocalFolder.open(`${path}/box/link`, 'follow')
  t.same(readdirSync(outside.self), ['kept'])
  await outside.close()
})
