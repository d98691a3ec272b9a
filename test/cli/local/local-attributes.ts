import { execFileSync } from 'node:child_process'
import { statfsSync, writeFileSync } from 'node:fs'
import t from 'tap'
import {
  isKeptAttribute,
  readAttributes,
  sameAttributes,
  writeAttributes,
} from '../../../src/cli/local/local-attributes.js'

const value = (text: string): Buffer => Buffer.from(text)

t.test('what is written is read, and what is not given goes', async (t) => {
  const path = `${t.testdir({})}/file`
  writeFileSync(path, '')
  const attributes = [
    { name: 'user.a', value: value('') },
    { name: 'user.b', value: Buffer.from([0, 255, 10]) },
  ]
  await writeAttributes(path, attributes)
  t.same(await readAttributes(path), attributes)
  const after = [{ name: 'user.b', value: value('other') }]
  await writeAttributes(path, after)
  t.same(await readAttributes(path), after)
  t.match(execFileSync('ls', ['-l', path], { encoding: 'utf8' }), /^-rw/)
})

t.test('says that a file system has none', async (t) => {
  t.ok(statfsSync('/proc'))
  t.same(await readAttributes('/proc/version'), [])
  const attributes = [{ name: 'user.a', value: value('x') }]
  await t.rejects(writeAttributes('/proc/version', attributes), { name: 'DfsError' })
  await t.rejects(readAttributes(`${t.testdir({})}/none`), { name: 'DfsError' })
})

t.test('compares them in whatever order', async (t) => {
  const a = { name: 'user.a', value: value('1') }
  const b = { name: 'user.b', value: value('2') }
  t.ok(sameAttributes([a, b], [b, a]))
  t.notOk(sameAttributes([a], [a, b]))
  t.notOk(sameAttributes([a], [{ ...a, value: value('3') }]))
})

t.test('copies keep those of users and access control lists', async (t) => {
  const names = ['user.x', 'system.posix_acl_access', 'security.selinux', 'trusted.x', 'userx']
  const kept = names.filter((name) => isKeptAttribute({ name, value: value('') }))
  t.same(kept, ['user.x', 'system.posix_acl_access'])
})
