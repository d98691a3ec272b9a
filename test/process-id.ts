import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { areTogether, isProcess, ownProcess } from '../src/process-id.js'
import { spawnMortal } from './fixtures/mortal.js'
import { until } from './fixtures/servers.js'

t.test('a process is known by its name while it runs', async (t) => {
  const name = ownProcess()
  t.ok(isProcess(name))
  const [boot = '', pid = '', started = '', namespace = ''] = name.split('-')
  const named = (...parts: readonly string[]): string => parts.join('-')
  t.notOk(isProcess(named(boot, pid, '1', namespace)), 'another one had the number before')
  t.notOk(isProcess(named(boot, pid, started, '1')), 'it is in another namespace')
  t.notOk(isProcess(name.replace(/^[0-9a-f]/, (digit) => (digit === '0' ? '1' : '0'))), 'restarted')
  t.notOk(isProcess('no name'))
  t.ok(areTogether(name, named(boot, '1', '1', namespace)))
  t.notOk(areTogether(name, named(boot, pid, started, '1')))
  t.notOk(areTogether(name, named('0', pid, started, namespace)))
})

t.test('a process that was killed has ended, also if its parent does not ask for it', async (t) => {
  // A shell that waits for nothing, with a child that it has started.
  const parent = spawnMortal('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], { stdio: 'pipe' })
  t.teardown(() => parent.kill())
  let said = ''
  parent.stdout?.on('data', (bytes: Buffer) => {
    said += bytes
  })
  await until(() => said.includes('\n'))
  const pid = Number(said)
  const stat = (): string[] =>
    readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const [boot, , , namespace] = ownProcess().split('-')
  const name = `${boot}-${pid}-${stat()[19]}-${namespace}`
  t.ok(isProcess(name))
  process.kill(pid, 'SIGKILL')
  await until(() => stat()[0] === 'Z')
  t.notOk(isProcess(name))
})

t.test('a process has not ended because a file cannot be opened', async (t) => {
  const module = new URL('../src/process-id.js', import.meta.url).href
  const script = `const { openSync } = require('node:fs')
    import('${module}').then(({ isProcess, ownProcess }) => {
      const name = ownProcess()
      try { for (;;) openSync('/dev/null') } catch {}
      for (const ask of [() => isProcess(name), ownProcess]) {
        try { console.log(ask()) } catch ({ code }) { console.log(code) }
      }
    })`
  const words = ['--nofile=200', process.execPath, '-e', script]
  t.equal(execFileSync('prlimit', words, { encoding: 'utf8' }), 'EMFILE\nEMFILE\n')
})
