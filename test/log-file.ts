import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LogFile } from '../src/log-file.js'

t.test('is set aside when it is full, and what else appends to it goes on in it', async (t) => {
  const path = join(t.testdir({}), 'log')
  const other = openSync(path, 'a')
  const log = new LogFile(path, 100)
  log.write('first\n')
  t.notOk(existsSync(`${path}.1`))
  log.write(`${'x'.repeat(100)}\n`)
  t.equal(readFileSync(path, 'utf8'), '')
  t.match(readFileSync(`${path}.1`, 'utf8'), /^first\nx{100}\n$/)
  writeSync(other, 'of another\n')
  closeSync(other)
  log.write('second\n')
  t.equal(readFileSync(path, 'utf8'), 'of another\nsecond\n')
  log.write(`${'y'.repeat(100)}\n`)
  t.match(readFileSync(`${path}.1`, 'utf8'), /^of another\nsecond\ny{100}\n$/)
  t.notOk(existsSync(`${path}.2`), 'one is kept')
})

t.test('only its owner can read it', async (t) => {
  const path = join(t.testdir({}), 'log')
  new LogFile(path, 10).write('more than ten bytes\n')
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(`${path}.1`).mode & 0o777, 0o600)
})

t.test('a file that cannot be set aside goes on, and so does the program', async (t) => {
  const folder = t.testdir({ 'log.1': { is: { a: 'folder' } } })
  const path = join(folder, 'log')
  const log = new LogFile(path, 10)
  log.write('more than ten bytes\n')
  log.write('more\n')
  t.equal(readFileSync(path, 'utf8'), 'more than ten bytes\nmore\n')
  t.notOk(existsSync(`${path}.new`))
})
