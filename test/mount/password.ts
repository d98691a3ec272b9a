/** A mount while the password of its user is changed on the servers: it goes on without a remount. */
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { confOf, UserOfDfc } from '../fixtures/client.js'
import { spawnMortal } from '../fixtures/mortal.js'
import { TestMounts } from '../fixtures/mount.js'
import { outcomeOf } from '../fixtures/outcome.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(240_000)
/** Long, because servers that are late on a busy machine would count as down. */
const timeoutMs = 10_000
const servers = await startServerProcesses(t)
const config = servers.config('alice', timeoutMs)
const program = resolve(import.meta.dirname, '../../../bin/dfs-server')

async function changePassword(password: string, ...options: readonly string[]): Promise<void> {
  const words = ['user', 'passwd', 'alice', '--config', servers.usersFile, ...options]
  const child = spawnMortal(program, words)
  child.stdin?.end(`${password}\n`)
  const { status, problems } = await outcomeOf(child)
  if (status !== 0) throw new Error(problems)
}

async function statusWith(password: string): Promise<number | undefined> {
  const user = new UserOfDfc(mounts.path(`home-${password}`), { ...config, password })
  return (await user.dfc('list')).status
}

/** Servers look for a change of their users each second. */
const noticed = (): Promise<void> => new Promise((done) => setTimeout(done, 2_500))

// One password in clear has a salt that only the server knows.
await changePassword('secret')
const mounts = new TestMounts(t, config)
const mount = await mounts.start('m')

t.test('while both are good, nothing is noticed', async (t) => {
  await mount.out('echo before > before; sync')
  await changePassword('second', '--keep-old', '7d')
  await noticed()
  t.equal(await mount.out('echo between > between; sync; cat before between'), 'before\nbetween')
  t.notMatch(mount.said.join(''), /is down/)
  t.equal(await statusWith('secret'), 0)
  t.equal(await statusWith('second'), 0)
  t.not(await statusWith('third'), 0)
})

t.test('when the old one ends, the mount goes on with that of its configuration', async (t) => {
  writeFileSync(mounts.path('dfc.conf'), confOf({ ...config, password: 'second' }))
  const writing = mount.out(
    'for i in $(seq 1 180); do echo $i > w$i && sync w$i && echo $i; sleep 0.05; done 2>&1 || true',
  )
  const text = readFileSync(servers.usersFile, 'utf8')
  writeFileSync(
    servers.usersFile,
    text.replace(/until = "[^"]*"/, 'until = "2001-01-01T00:00:00Z"'),
  )
  const said = (await writing).split('\n').filter((line) => /^\d+$/.test(line))
  t.match(mount.said.join(''), /the configuration has another password for alice: it is used/)
  t.notMatch(mount.said.join(''), /Invalid Username/, 'which no server has to refuse first')
  t.equal(said.length, 180, 'no write fails, because the servers end sessions one after another')
  const names = said.map((number) => `w${number}`).join(' ')
  t.same((await mount.out(`cat ${names}`)).split('\n'), said, 'all that was synced is there')
  t.not(await statusWith('secret'), 0)
  t.equal(await statusWith('second'), 0)
})
