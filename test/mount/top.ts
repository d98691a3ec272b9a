/** The command top with a real mount, in a pipe and in a terminal. */
import { symlinkSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import t from 'tap'
import { ratesOf } from '../../src/cli/commands/top-rates.js'
import { fitted, viewOf } from '../../src/cli/commands/top-view.js'
import type { Figures } from '../../src/cli/mounts.js'
import { stateFolderOf } from '../../src/fuse/daemon/state-folder.js'
import { askDaemon } from '../../src/mount-control.js'
import { spawnMortal } from '../fixtures/mortal.js'
import { TestMounts } from '../fixtures/mount.js'
import { type Outcome, outcomeOf } from '../fixtures/outcome.js'
import { startServers, until } from '../fixtures/servers.js'

t.setTimeout(120_000)
const escapeCode = '\u001b'
const home = `${escapeCode}[H`
const program = resolve(import.meta.dirname, '../../../bin/dfc')
const servers = await startServers(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')
const env = mounts.environment

const dfc = (...words: readonly string[]): Promise<Outcome> =>
  outcomeOf(spawnMortal(program, words, { cwd: '/', env, timeout: 30_000 }))

/** Reads and writes in the mount until the returned function is called. */
function busy(): () => Promise<void> {
  const work = mount.sh(
    'while ! test -e end; do head -c 200000 /dev/zero > f; cat f > /dev/null; stat f > /dev/null; done',
  )
  return async () => {
    await mount.out('touch end')
    await work
    await mount.out('rm end')
  }
}

t.test('shows rates, programs and servers', async (t) => {
  const stop = busy()
  const { status, out, problems } = await dfc('top', '--once')
  await stop()
  t.equal(status, 0, problems)
  t.match(out, new RegExp(`^${mount.mountpoint}  user alice  pid ${mount.process.pid}\n`))
  t.match(out, /^[1-9]\d* operations\/s .*B\/s read .*B\/s written .* mean, .* 99 %$/m)
  t.match(out, /^ +(\d+|-) +\d+ % .* (sh|head|cat|\(\d+ that have ended\))$/m)
  t.match(out, /^write +\d+ /m)
  for (const name of ['DFS1', 'DFS2', 'DFS3', 'DFS4'])
    t.match(out, new RegExp(`^${name} +up `, 'm'))
  t.notOk(out.includes(escapeCode), 'nothing acts on a terminal')
})

t.test('is a list of objects for scripts', async (t) => {
  const stop = busy()
  const { status, out } = await dfc('top', '--json', mount.mountpoint)
  await stop()
  t.equal(status, 0)
  const [rates] = JSON.parse(out)
  t.equal(rates.mountpoint, mount.mountpoint)
  t.ok(rates.all.perSecond > 10)
  t.ok(rates.writtenPerSecond > 200_000)
  t.equal(rates.servers.length, 4)
  t.ok(rates.programs.some(({ perSecond }: { perSecond: number }) => perSecond > 0))
})

t.test('in a terminal it goes on, fits, and ends at q', async (t) => {
  const line = `stty cols 40 rows 8; exec ${program} top`
  const child = spawnMortal('script', ['-qec', line, '/dev/null'], {
    cwd: '/',
    env: { ...env, TERM: 'xterm' },
    timeout: 30_000,
  })
  let shown = ''
  child.stdout?.on('data', (bytes: Buffer) => {
    shown += bytes.toString()
    // The first picture has no rates yet.
    if (shown.split(home).length > 4 && child.stdin?.writable === true) child.stdin.end('q')
  })
  const { status } = await outcomeOf(child)
  t.equal(status, 0)
  const pictures = shown.split(home).slice(2)
  t.ok(pictures.length >= 2)
  for (const picture of pictures.slice(0, 2)) {
    const lines =
      picture.replaceAll(`${escapeCode}[2K`, '').split(`${escapeCode}[J`)[0]?.split(/\r?\n/) ?? []
    t.equal(lines.length, 8, 'the first one stays in sight')
    for (const one of lines) t.ok(one.length <= 40, one)
  }
})

t.test(
  'a mountpoint may be written in any way, and a mount that ended is waited for',
  async (t) => {
    const other = await mounts.start('other')
    symlinkSync(other.mountpoint, mounts.path('link'))
    for (const [cwd, words] of [
      [dirname(other.mountpoint), ['top', '--once', 'other/']],
      ['/', ['top', '--once', mounts.path('link')]],
    ] as const) {
      const { out, problems } = await outcomeOf(spawnMortal(program, words, { cwd, env }))
      t.ok(out.startsWith(`${other.mountpoint}  user alice`), problems)
    }
    const line = `exec ${program} top ${other.mountpoint}`
    const child = spawnMortal('script', ['-qec', line, '/dev/null'], {
      cwd: '/',
      env: { ...env, TERM: 'xterm' },
      timeout: 60_000,
    })
    let shown = ''
    child.stdout?.on('data', (bytes: Buffer) => {
      shown += bytes.toString()
    })
    await until(() => shown.includes('SERVER'))
    await other.end()
    await until(() => shown.includes('no mount of alice there answers'))
    const before = shown.length
    const again = await mounts.start('other')
    await until(() => shown.slice(before).includes('SERVER'))
    child.stdin?.write('q')
    t.match(await outcomeOf(child), { status: 0 })
    await again.end()
  },
)

t.test('says when there is no mount of the account, or none at that place', async (t) => {
  const there = await dfc('top', '--once', '/nowhere')
  t.equal(there.status, 1)
  t.match(
    there.problems,
    `dfc: /nowhere: no mount of alice there answers; there are ${mount.mountpoint}\n`,
  )
  const { XDG_STATE_HOME: _, ...others } = env
  const none = await outcomeOf(
    spawnMortal(program, ['top'], {
      cwd: '/',
      env: { ...others, XDG_STATE_HOME: join(mounts.path('none')) },
    }),
  )
  t.equal(none.status, 1)
  t.match(none.problems, /no mount of alice that you have made on this machine answers/)
})

t.test('rates are of the time between two looks', async (t) => {
  const folder = stateFolderOf(mount.mountpoint, join(env.XDG_STATE_HOME ?? '', 'dfs'))
  const look = async (): Promise<Figures> =>
    (await askDaemon(folder.path, { verb: 'figures' })).figures as Figures
  const before = await look()
  await mount.out('for i in 1 2 3 4 5; do mkdir d$i; done')
  const now = await look()
  const rates = ratesOf({ ...now, atMs: before.atMs + 2000 }, before)
  const made = rates.operations.find(({ name }) => name === 'mkdir')?.perSecond
  t.equal(made?.toFixed(3), '2.500')
  t.equal(ratesOf(now, now).all.perSecond, 0)
  const again = ratesOf({ ...now, pid: 1 }, before)
  t.ok(again.all.perSecond > 0, 'a mount that was made anew counts from its beginning')
  const lines = viewOf(rates)
  t.equal(fitted(lines, 10, 3).length, 3)
  t.ok(fitted(['\u6f22'.repeat(10)], 10, 1)[0]?.length === 5)
})
