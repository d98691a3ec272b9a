/** Where a password that came in the environment may not be: with other processes, in /proc, in what is printed. */
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { UserOfDfc } from '../fixtures/client.js'
import { detach, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const config = servers.config('alice', 10_000)
const mounts = new TestMounts(t, config)
const done = { status: 0, out: '', problems: '' }
const secret = { DFC_PASSWORD: 'secret' }

/** Takes the password out of a configuration. */
function withoutPassword(file: string): void {
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replace('password = "secret"\n', ''))
}

/** Processes in whose arguments or environment there is `text`, this one and those above it left out. */
function processesWith(name: 'cmdline' | 'environ', text: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/${name}`, 'latin1').includes(text)
    } catch {
      return false
    }
  })
}

t.test('a mount has the password of its environment, and no process shows it', async (t) => {
  withoutPassword(mounts.path('dfc.conf'))
  const mnt = mounts.folder('background')
  t.teardown(() => detach(mnt))
  const value = 'secret'
  // By the home in it the environment of these processes is told from that of others.
  const mine = `HOME=${mounts.path('')}`.replace(/\/$/, '')
  t.same(await mounts.runWith(secret, mnt), done)
  t.equal(readFileSync(join(mnt, '..', 'dfc.conf'), 'utf8').includes(value), false)
  const ours = processesWith('environ', mine)
  t.ok(ours.length >= 2, 'the daemon, and what watches it')
  for (const pid of ours) {
    t.notMatch(readFileSync(`/proc/${pid}/environ`, 'latin1'), /DFC_PASSWORD|secret/)
    t.notMatch(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), /secret/)
    t.match(readFileSync(`/proc/${pid}/limits`, 'latin1'), /^Max core file size +0 +0 /m)
  }
  t.same(await mounts.unmount(mnt, secret), done)
  const foreground = await mounts.startWith(secret, 'foreground')
  for (const pid of processesWith('environ', mine)) {
    t.notMatch(readFileSync(`/proc/${pid}/environ`, 'latin1'), /DFC_PASSWORD|secret/)
  }
  t.equal(await foreground.out('echo x > f; cat f'), 'x')
})

t.test('what a mount keeps on this machine is for its owner alone', async (t) => {
  const state = mounts.path('state')
  const mnt = mounts.folder('open')
  t.teardown(() => detach(mnt))
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  t.same(await mounts.runWith(secret, mnt), done)
  t.same(await mounts.unmount(mnt, secret), done)
  const [name = ''] = readdirSync(join(state, 'dfs')).filter((found) => found.startsWith('open-'))
  const folder = join(state, 'dfs', name)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  t.equal(statSync(join(folder, 'log')).mode & 0o777, 0o600)
})

t.test('the prompt does not show it either', async (t) => {
  const folder = t.testdir({})
  mkdirSync(join(folder, 'user'))
  const user = new UserOfDfc(join(folder, 'user'), config)
  withoutPassword(join(folder, 'user.conf'))
  const prompt = user.start([], secret)
  let said = ''
  prompt.stdout?.on('data', (text: Buffer) => {
    said += text.toString()
  })
  prompt.stdin?.write('mkdir made\nlist\n')
  await until(() => said.includes('made'))
  t.notMatch(readFileSync(`/proc/${prompt.pid}/environ`, 'latin1'), /DFC_PASSWORD|secret/)
  const ended = once(prompt, 'exit')
  prompt.stdin?.end()
  await ended
})

t.test('a broken line of a configuration is not echoed, not even for debugging', async (t) => {
  const folder = t.testdir({})
  const user = new UserOfDfc(join(folder, 'user'), config)
  for (const line of [
    'password = hush',
    'password = "hu"hush',
    'pasword = "hush"',
    'password = ["hush"]',
  ]) {
    writeFileSync(join(folder, 'user.conf'), `user = "alice"\n${line}\n`)
    const child = user.start(['list'], { DEBUG: 'dfs:*' })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text: Buffer) => {
        said += text.toString()
      })
    }
    await once(child, 'close')
    t.match(said, /user\.conf:\d+: /)
    t.notMatch(said, /hush/, line)
  }
})
