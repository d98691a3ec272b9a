/**
 * Upgrades of a cluster: from the release 0.1.0, which has no version of the protocol in common with this one, from the
 * release before, and from this one to a next release, one server after the other while mounts of both are in use.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { systemRandom } from '../../src/clock.js'
import { protocolVersions } from '../../src/wire/protocol-versions.js'
import { UserOfDfc } from '../fixtures/client.js'
import { spawnMortal } from '../fixtures/mortal.js'
import { type TestMount, TestMounts } from '../fixtures/mount.js'
import { outcomeOf } from '../fixtures/outcome.js'
import { buildRelease, cannotBuild, makeNext, nextVersion } from '../fixtures/releases.js'
import { startServerProcess } from '../fixtures/server-process.js'
import { TestServers, until } from '../fixtures/servers.js'

t.setTimeout(600_000)
const timeoutMs = 5_000
const indexes = [0, 1, 2, 3] as const

/** Four servers of releases that may change: `releases` has the folder of each, or undefined for this one. */
function startReleases(
  t: Test,
  releases: (string | undefined)[],
  said: (lines: string) => void,
): Promise<TestServers> {
  return TestServers.open(t, (folder, users, port) => {
    const release = releases[Number(folder.at(-1)) - 1]
    const program = release && join(release, 'dist/src/dfs/main.js')
    return startServerProcess(folder, users, port, said, program)
  })
}

/** Ends a server in order, as an upgrade does, and starts it again. */
async function restart(servers: TestServers, index: number): Promise<void> {
  const child = servers.process(index)
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
  await servers.start(index)
}

t.test(
  'folders of 0.1.0 go on with this release',
  { skip: await cannotBuild('0.1.0') },
  async (t) => {
    const old = await buildRelease('0.1.0')
    const releases: (string | undefined)[] = indexes.map(() => old)
    const servers = await startReleases(t, releases, (lines) => t.comment(lines))
    const config = servers.config('alice', timeoutMs)
    const user = new UserOfDfc(join(t.testdirName, 'user'), config)
    const files = new Map(
      [0, 5_000, 70_000, 3_000_001].map((bytes) => [`${bytes} bytes`, systemRandom.bytes(bytes)]),
    )
    for (const [name, content] of files) {
      user.write(name, content)
      const { PATH } = process.env
      const env = { PATH, HOME: user.folder, DFC_CONFIG: `${user.folder}.conf` }
      const words = [join(old, 'dist/src/dfc/main.js'), 'put', name]
      const put = spawnMortal(process.execPath, words, { cwd: user.folder, env })
      t.match(await outcomeOf(put), { status: 0 }, `0.1.0 stores ${name}`)
    }
    const areIntact = async (): Promise<void> => {
      const copies = mkdtempSync(user.path('read'))
      t.match(await user.dfc('get', ...files.keys(), copies), { status: 0 })
      for (const [name, content] of files) {
        t.ok(readFileSync(join(copies, name)).equals(content), `${name} is intact`)
      }
    }
    // Killed, so that votes are taken over that are in no index yet.
    await servers.kill(...indexes)
    const schemas = (): unknown[] => {
      return servers.folders.map((folder) => {
        const index = new Database(join(folder, 'alice/index.db'))
        const version = index.pragma('user_version', { simple: true })
        index.close()
        return version
      })
    }
    const [before] = schemas()
    t.ok(Number(before) < 4, `0.1.0 wrote indexes of version ${before}`)

    releases.fill(undefined)
    releases[2] = old
    for (const index of indexes) await servers.start(index)
    const reason =
      /DFS3 .*this server speaks version 7, the client \d+ \(docs\/operating\.md: Upgrade\)/
    await areIntact()
    user.write('new', 'stored by three')
    t.match(await user.dfc('put', 'new'), { status: 0 })
    const status = await user.dfc('status')
    t.equal(status.status, 2)
    t.match(status.out + status.problems, reason)
    const mounts = new TestMounts(t, config)
    const mount = await mounts.start('mnt')
    t.match(mount.said.join(''), reason)
    t.equal(await mount.out('cat new; echo more > more; cat more'), 'stored by threemore')

    releases[2] = undefined
    await restart(servers, 2)
    await until(() => mount.said.join('').includes('DFS3 is up'))
    t.match(await user.dfc('status', '--wait', '60s'), { status: 0 })
    await mount.end()
    await areIntact()
    t.match(await user.dfc('verify'), { status: 0 })
  },
)

/** Changes and reads files all the time, until there is a file `stop`. Every error ends it. */
const worker = `
  const fs = require('node:fs')
  const [name, stop] = process.argv.slice(1)
  fs.mkdirSync(name)
  let rounds = 0
  for (; !fs.existsSync(stop); rounds += 1) {
    const path = name + '/' + (rounds % 10)
    const text = (name + ' ' + rounds + ' ').repeat(1 + (rounds % 7) * 3000)
    fs.writeFileSync(path + '.new', text)
    if (rounds % 5 === 0) {
      const file = fs.openSync(path + '.new')
      fs.fsyncSync(file)
      fs.closeSync(file)
    }
    fs.renameSync(path + '.new', path)
    if (fs.readFileSync(path, 'utf8') !== text) throw new Error(path + ' reads otherwise')
    if (fs.readdirSync(name).length !== Math.min(rounds + 1, 10)) throw new Error(name)
    if (rounds % 20 === 19) fs.unlinkSync(path), fs.writeFileSync(path, text)
  }
  console.log(rounds)
`

/**
 * Upgrades the servers of a cluster from one release, a folder or this one, to another under mounts of both.
 * `versions` are those that the servers of each speak at most.
 */
async function upgradeUnderMounts(
  t: Test,
  from: string | undefined,
  to: string | undefined,
  versions: readonly number[],
): Promise<void> {
  const releases: (string | undefined)[] = indexes.map(() => from)
  let said = ''
  process.env.DEBUG = 'dfs:dfs'
  const servers = await startReleases(t, releases, (lines) => {
    said += `${lines}\n`
  })
  const config = servers.config('alice', timeoutMs)
  const user = new UserOfDfc(join(t.testdirName, 'user'), config)
  const mounts = new TestMounts(t, config)
  const startOf = (folder: string | undefined, name: string): Promise<TestMount> =>
    folder === undefined
      ? mounts.start(name)
      : mounts.startOf(join(folder, 'bin/dfs-mount'), {}, name)
  const before = await startOf(from, 'before')
  const after = await startOf(to, 'after')
  const stop = join(mounts.path('stop'))
  const work = [before.node(worker, 'first', stop), after.node(worker, 'second', stop)]
  const spoken = (): number[] => {
    const found = [...said.matchAll(/alice logged in, version (\d+)/g)]
    return [...new Set(found.map(([, version]) => Number(version)))].sort((a, b) => a - b)
  }
  t.same(spoken(), [Math.min(...versions)])
  for (const index of indexes) {
    releases[index] = to
    await restart(servers, index)
    t.match(await user.dfc('status', '--wait', '60s'), { status: 0 }, `DFS${index + 1} is complete`)
  }
  t.same(spoken(), versions)
  writeFileSync(stop, '')
  for (const rounds of await Promise.all(work)) t.ok(Number(rounds) > 20, `${rounds} rounds`)
  const sums = 'sha256sum first/* second/* | sha256sum'
  t.equal(await before.out(sums), await after.out(sums), 'both read the same')
  for (const mount of [before, after]) {
    t.notMatch(mount.said.join(''), /violated|belongs|could not/, mount.mountpoint)
  }
  t.notMatch(said, /refused|belongs/)
  await Promise.all([before.end(), after.end()])
}

t.test('servers are updated one after the other under mounts of both releases', (t) =>
  upgradeUnderMounts(t, undefined, makeNext(), [protocolVersions.most, nextVersion]),
)

t.test('the release before', { skip: await cannotBuild('0.2.0') }, async (t) => {
  const old = await buildRelease('0.2.0')

  t.test('is updated one server after the other', (t) =>
    upgradeUnderMounts(t, old, undefined, [protocolVersions.most]),
  )

  t.test('leaves a journal that this one stores', async (t) => {
    const servers = await startReleases(t, [], (lines) => t.comment(lines))
    const mounts = new TestMounts(t, servers.config('alice', timeoutMs))
    const mount = await mounts.startOf(join(old, 'bin/dfs-mount'), {}, 'mnt')
    await mount.out('mkdir d; echo one > d/1; echo two > d/2; sync d/1 d/2 d; ls d')
    // What is answered now is in the journal alone.
    for (const index of indexes) servers.process(index).kill('SIGSTOP')
    await mount.out(`echo new > d/new; echo more >> d/1; mv d/1 d/one; rm d/2; chmod 600 d/new
      mkdir d/sub; echo below > d/sub/file; ln -s one d/link`)
    await mount.end('SIGKILL')
    for (const index of indexes) servers.process(index).kill('SIGCONT')
    const again = await mounts.start('mnt')
    const list = 'cd d; find . | sort | xargs; cat link new sub/file; stat -c %a new'
    t.equal(
      await again.out(list),
      '. ./link ./new ./one ./sub ./sub/file\none\nmore\nnew\nbelow\n600',
    )
  })
})
