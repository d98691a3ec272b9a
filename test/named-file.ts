/** What is named in the place of a configuration or a password, and is no file: it hangs no program. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { isPipe, readNamedFile, readPipe } from '../src/named-file.js'
import { spawnMortal } from './fixtures/mortal.js'
import { type Outcome, outcomeOf } from './fixtures/outcome.js'
import { until } from './fixtures/servers.js'

const programs = resolve(import.meta.dirname, '../../bin')

/** Makes a folder with a pipe in it. */
function pipeIn(t: Test): { readonly folder: string; readonly pipe: string } {
  const folder = t.testdir()
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  return { folder, pipe }
}

function sh(line: string, cwd: string): Promise<Outcome> {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  const env = { PATH: `${programs}:${PATH}`, NODE_COMPILE_CACHE, HOME: cwd }
  return outcomeOf(spawnMortal('bash', ['-c', line], { cwd, env, timeout: 60_000 }))
}

t.test('what is no file is named for what it is', async (t) => {
  const { folder, pipe } = pipeIn(t)
  const socket = createServer().listen(join(folder, 'socket'))
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  t.throws(() => readNamedFile(join(folder, 'socket')), { code: 'invalid', message: /a socket/ })
  t.throws(() => readNamedFile('/dev/zero'), { code: 'invalid', message: /a device/ })
  t.throws(() => readNamedFile(folder), { code: 'isDirectory' })
  t.throws(() => readNamedFile(pipe), { code: 'invalid', message: /a pipe/ })
  t.throws(() => readNamedFile(join(folder, 'missing')), { code: 'ENOENT' })
  t.equal(isPipe(pipe), true)
  t.equal(isPipe(folder), false)
  execFileSync('truncate', ['-s', '1G', join(folder, 'large')])
  t.throws(() => readNamedFile(join(folder, 'large')), { code: 'tooLarge' })
  writeFileSync(join(folder, 'file'), 'ä'.repeat(100_000))
  t.equal(readNamedFile(join(folder, 'file')), 'ä'.repeat(100_000))
})

t.test('a pipe is read to its end, once, and then gives the same again', async (t) => {
  const { pipe } = pipeIn(t)
  const writer = spawn('sh', ['-c', `sleep 0.3; exec >"$0"; echo one; sleep 0.3; echo two`, pipe])
  t.teardown(() => writer.kill())
  await readPipe(pipe)
  t.equal(readNamedFile(pipe), 'one\ntwo\n')
  await readPipe(pipe)
  t.equal(readNamedFile(pipe), 'one\ntwo\n')
})

t.test('a pipe that no program writes into is an error after some seconds', async (t) => {
  const { folder } = pipeIn(t)
  const [dfc, server] = await Promise.all([
    sh('dfc --config pipe list', folder),
    sh('dfs-server init --user alice --password-file pipe DFS1 10001', folder),
  ])
  t.equal(dfc.status, 1)
  const why = 'it is a pipe, and no program writes into it'
  t.equal(dfc.problems, `dfc: pipe: cannot read the configuration: ${why}\n`)
  t.equal(server.status, 1)
  t.equal(server.problems, `dfs-server: pipe: cannot read the password: ${why}\n`)
})

t.test('servers and mounts in the background say that they need a file', async (t) => {
  const { folder } = pipeIn(t)
  const [server, user, mount] = await Promise.all([
    sh('dfs-server --config pipe DFS1 10001', folder),
    sh('dfs-server user list --config pipe', folder),
    sh('mkdir m; dfs-mount --config pipe m', folder),
  ])
  for (const { problems } of [server, user, mount]) t.match(problems, /pipe: .*it is a pipe/)
  t.same(
    [server, user, mount].map(({ status }) => status),
    [78, 1, 78],
  )
})

t.test('a program that waits for a pipe ends with Control-C', async (t) => {
  const { folder, pipe } = pipeIn(t)
  const child = spawnMortal(join(programs, 'dfc'), ['--config', pipe, 'list'], { cwd: folder })
  const outcome = outcomeOf(child)
  // It has a writer, which it would wait for to end.
  const writer = spawn('sh', ['-c', 'exec >"$0"; echo; exec sleep 60', pipe])
  t.teardown(() => writer.kill())
  await until(() => isWaiting(writer.pid ?? 0))
  await sleep(200)
  child.kill('SIGINT')
  t.equal((await outcome).status, 130)
})

t.test('the output of another program is a configuration or a password', async (t) => {
  const folder = t.testdir()
  const init = `dfs-server init --user alice --password-file <(sleep 0.2; echo secret) DFS1 10001`
  const { status, problems } = await sh(init, folder)
  t.equal(status, 0, problems)
  const servers = [1, 2, 3, 4].map(
    (at) => `[[server]]\nname = "DFS${at}"\naddress = "127.0.0.1:${at}"\n`,
  )
  writeFileSync(join(folder, 'conf'), `user = "alice"\npassword = "x"\n${servers.join('')}`)
  const listed = await sh('dfc --config <(cat conf) list', folder)
  t.match(listed.problems, /no server|DFS1|down/i)
  t.notMatch(listed.problems, /configuration/)
})

/** Whether the shell has opened the pipe and become sleep(1). */
function isWaiting(pid: number): boolean {
  return readNamedFile(`/proc/${pid}/comm`).trim() === 'sleep'
}
