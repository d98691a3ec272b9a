import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fstatSync, openSync, readFileSync, renameSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'

const log = resolve(import.meta.dirname, '../src/log.js')

/** Runs a script that has what log.ts exports as `log`, with this file as its standard error. Returns the file's text. */
async function written(
  t: Test,
  script: string,
  environment: (file: string) => NodeJS.ProcessEnv = () => ({}),
): Promise<string> {
  const path = join(t.testdir({}), 'stderr')
  const fd = openSync(path, 'a')
  const { dev, ino } = fstatSync(fd)
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', `const log = await import(${JSON.stringify(log)})\n${script}`],
    { stdio: ['ignore', 'inherit', fd], env: { ...environment(`${dev}:${ino}`) } },
  )
  const [code] = await once(child, 'exit')
  closeSync(fd)
  const text = readFileSync(path, 'utf8')
  t.equal(code, 0, text)
  return text
}

const each = `
log.notice('happened')
log.notice('look', 'warning')
log.notice('at stake', 'error')
log.debugDfs('%s\\n', 'detail')`

t.test('a line has its time and its level', async (t) => {
  const lines = (await written(t, each, () => ({ DEBUG: 'dfs:*' }))).split('\n')
  const time = String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`
  t.match(lines[0], new RegExp(`${time} info happened$`))
  t.match(lines[1], new RegExp(`${time} warning look$`))
  t.match(lines[2], new RegExp(`${time} error at stake$`))
  t.match(lines[3], new RegExp(`${time} debug dfs:dfs detail\\\\n$`))
})

t.test('the journal of systemd gets priorities and no time', async (t) => {
  const text = await written(t, each, (JOURNAL_STREAM) => ({ JOURNAL_STREAM, DEBUG: 'dfs:*' }))
  t.equal(text, '<6>happened\n<4>look\n<3>at stake\n<7>dfs:dfs detail\\n\n')
})

t.test('why a program ends is an error in the journal, and a plain line elsewhere', async (t) => {
  const ends = "log.complain('dfs-mount: no\\nway')"
  t.equal(
    await written(t, ends, (JOURNAL_STREAM) => ({ JOURNAL_STREAM })),
    '<3>dfs-mount: no\\nway\n',
  )
  t.equal(await written(t, ends), 'dfs-mount: no\\nway\n')
})

t.test('a standard error that is no longer the journal is none', async (t) => {
  const text = await written(t, "log.notice('x')", () => ({ JOURNAL_STREAM: '8:12345' }))
  t.match(text, /Z info x\n$/)
})

t.test('what is said again and again is counted, each cause for itself', async (t) => {
  const text = await written(
    t,
    `for (let i = 0; i < 100; i += 1) {
      log.notice('DFS2 is down', 'warning')
      log.notice('piece ' + i + ' is corrupt', 'warning', 'pieces that are corrupt')
    }
    log.notice('DFS3 is down', 'warning')`,
  )
  t.equal(text.match(/DFS2 is down/g)?.length, 3)
  t.equal(text.match(/piece \d+ is corrupt/g)?.length, 20)
  t.match(text, /warning DFS2 is down \(further ones are counted for at least 10 min\)\n/)
  t.match(text, /DFS3 is down\n$/)
})

t.test('a log that cannot be written is an error that says so', async (t) => {
  const { logTo } = await import('../src/log.js')
  const nowhere = join(t.testdir({}), 'not', 'there')
  t.throws(() => logTo(nowhere), { code: 'configuration', message: /the log cannot be written: / })
})

t.test('goes to a file, which is opened anew on demand', async (t) => {
  const folder = t.testdir({})
  const path = join(folder, 'log')
  const errors = await written(
    t,
    `const { renameSync } = await import('node:fs')
    const reopen = log.logTo(${JSON.stringify(path)})
    log.notice('before')
    renameSync(${JSON.stringify(path)}, ${JSON.stringify(`${path}.old`)})
    log.notice('still')
    reopen()
    log.notice('after')`,
  )
  t.equal(errors, '')
  t.match(readFileSync(`${path}.old`, 'utf8'), /info before\n.*info still\n$/)
  t.match(readFileSync(path, 'utf8'), /^\S+ info after\n$/)
  renameSync(path, `${path}.2`)
})
