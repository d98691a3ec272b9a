import { execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
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

t.test('a file that cannot be set aside loses its older half, and stays bounded', async (t) => {
  const folder = t.testdir({ 'log.1': { is: { a: 'folder' } } })
  const path = join(folder, 'log')
  const log = new LogFile(path, 1_000)
  for (let line = 0; line < 1_000; line += 1) {
    log.write(`line ${line}\n`)
    if (statSync(path).size > 1_000) t.fail('too large')
  }
  const text = readFileSync(path, 'utf8')
  t.match(text, /^line \d+\n/, 'it begins with a whole line')
  t.match(text, /line 998\nline 999\n$/)
  t.same(readdirSync(folder).sort(), ['log', 'log.1'])
})

t.test('a file whose folder is gone stays bounded, and SIGHUP finds the new one', async (t) => {
  const folder = join(t.testdir({ logs: {} }), 'logs')
  const path = join(folder, 'log')
  const log = new LogFile(path, 1_000)
  const other = openSync(path, 'r')
  rmSync(folder, { recursive: true })
  for (let line = 0; line < 1_000; line += 1) log.write(`line ${line}\n`)
  t.ok(fstatSync(other).size < 1_000)
  closeSync(other)
  log.reopen()
  log.write('still nowhere\n')
  mkdirSync(folder)
  log.reopen()
  log.write('here\n')
  t.equal(readFileSync(path, 'utf8'), 'here\n')
})

t.test(
  'two programs that write to one file do not lose what the other has set aside',
  async (t) => {
    const path = join(t.testdir({}), 'log')
    const bytesMax = 200_000
    const script = `const { LogFile } = await import(process.argv[1])
    const log = new LogFile(process.argv[2], ${bytesMax})
    for (let line = 0; line < 4_000; line += 1) log.write(process.argv[3] + ' ' + 'x'.repeat(100) + '\\n')`
    const source = join(import.meta.dirname, '../src/log-file.js')
    const children = ['a', 'b'].map((name) =>
      spawn(process.execPath, ['--input-type=module', '-e', script, source, path, name], {
        timeout: 60_000,
      }),
    )
    let asideMin = Number.POSITIVE_INFINITY
    let running = children.length
    for (const child of children) {
      child.once('exit', (status) => {
        t.equal(status, 0)
        running -= 1
      })
    }
    while (running > 0) {
      if (existsSync(`${path}.1`)) asideMin = Math.min(asideMin, statSync(`${path}.1`).size)
      await sleep(1)
    }
    t.ok(asideMin >= bytesMax, `${asideMin}`)
    t.ok(statSync(`${path}.1`).size < 2 * bytesMax)
  },
)

t.test('a named pipe stops no program: without a reader it is refused', async (t) => {
  const path = join(t.testdir({}), 'pipe')
  execFileSync('mkfifo', [path])
  t.throws(() => new LogFile(path), { code: 'ENXIO' })
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const log = new LogFile(path)
  log.write('line\n')
  const bytes = Buffer.alloc(100)
  t.equal(bytes.toString('utf8', 0, readSync(reader, bytes)), 'line\n')
  // Nobody reads it: what does not fit is lost, and the program goes on.
  for (let line = 0; line < 20; line += 1) log.write('x'.repeat(10_000))
  closeSync(reader)
  log.write('nobody is there\n')
})

t.test('a link is followed, and stays', async (t) => {
  const folder = t.testdir({ far: {} })
  const path = join(folder, 'log')
  symlinkSync('far/log', path)
  const log = new LogFile(path, 100)
  log.write('first\n')
  t.equal(readFileSync(join(folder, 'far/log'), 'utf8'), 'first\n')
  log.write('x'.repeat(100))
  t.ok(lstatSync(path).isSymbolicLink())
  t.match(readFileSync(`${path}.1`, 'utf8'), /^first\n/)
})
