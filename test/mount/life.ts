/** Tests of the life of a mount from the command line: its start, refusals to start, and every kind of end. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { freePorts } from '../fixtures/free-ports.js'
import { detach, isMounted, shell, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

t.setTimeout(600_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config('alice', 10_000))
const done = { status: 0, out: '', problems: '' }
const failed = (problem: string) => ({ status: 1, out: '', problems: `dfs-mount: ${problem}\n` })
/** What ends so is not started again by systemd. */
const wrongConfiguration = 78
const wrong = (problem: string) => ({ ...failed(problem), status: wrongConfiguration })

t.test('mounts in the background and unmounts when everything is stored', async (t) => {
  const mnt = mounts.folder('background')
  t.teardown(() => detach(mnt))
  t.same(await mounts.run(mnt), done)
  t.match(await shell('echo stored > f', mnt), done)
  t.same(await mounts.run(mnt), failed(`${mnt} is already mounted (fuse.dfs)`))
  t.same(await mounts.unmount(mnt), done)
  t.notOk(isMounted(mnt))
  t.same(await mounts.run('--unmount', mnt), failed(`${mnt} is not mounted`))
  t.same(await mounts.run('-o', 'ro', mnt), done)
  t.match(await shell('cat f; echo x > g', mnt), { out: /^stored\n/, problems: /Read-only/ })
  t.same(await mounts.unmount(mnt), done)
})

t.test('a refusal to mount is one line with the reason', async (t) => {
  const file = mounts.path('file')
  writeFileSync(file, '')
  const full = mounts.folder('full')
  writeFileSync(join(full, 'x'), '')
  const missing = mounts.path('missing')
  t.same(await mounts.run(missing), wrong(`${missing} does not exist; create it with mkdir`))
  t.same(await mounts.run(file), wrong(`${file} is not a folder`))
  t.same(
    await mounts.run(full),
    wrong(`${full} is not empty; choose an empty folder, or hide its contents with -o nonempty`),
  )
  const mnt = mounts.folder('mnt')
  t.match(await mounts.run('-o', 'nosuch', mnt), {
    status: wrongConfiguration,
    problems: /-o nosuch: unknown word/,
  })
  t.match(await mounts.run('--config', '/nosuch', mnt), {
    status: wrongConfiguration,
    problems: /no such file/,
  })
  t.match(await mounts.run(), { status: 2, problems: /mountpoint/ })
  const wrongFile = mounts.path('wrong.conf')
  const right = readFileSync(mounts.path('dfc.conf'), 'utf8')
  writeFileSync(wrongFile, right.replace('"secret"', '"wrong"'), { mode: 0o600 })
  t.same(
    await mounts.run('--config', wrongFile, mnt),
    wrong('Invalid Username/Password. Please try again.'),
  )
})

t.test('a mount in use is not unmounted, and its users are named', async (t) => {
  const mount = await mounts.start('busy')
  const entered = mounts.path('entered')
  const leave = mounts.path('leave')
  const using = mount.sh(`touch ${entered}; until [ -e ${leave} ]; do sleep 0.1; done`)
  await until(() => existsSync(entered))
  const { status, problems } = await mounts.run('--unmount', mount.mountpoint)
  t.equal(status, 1)
  t.match(problems, /is in use by .*(sh|sleep) \(process \d+\)/)
  t.ok(isMounted(mount.mountpoint))
  writeFileSync(leave, '')
  await using
})

t.test('a mount with another one in it is not unmounted, and that one is named', async (t) => {
  const mount = await mounts.start('outer')
  await mount.out('mkdir inner')
  const inner = join(mount.mountpoint, 'inner')
  t.teardown(() => detach(inner))
  t.same(await mounts.run(inner), done)
  const refused = failed(`${mount.mountpoint} is in use; unmount ${inner} first`)
  t.same(await mounts.run('--unmount', mount.mountpoint), refused)
  t.same(await mounts.unmount(inner), done)
  t.same(await mounts.unmount(mount.mountpoint), done)
})

t.test('another program may unmount it', async (t) => {
  const mount = await mounts.start('foreign')
  await mount.out('echo x > f')
  execFileSync('fusermount3', ['-u', mount.mountpoint])
  await until(() => !mount.isRunning)
  t.equal(mount.process.exitCode, 0)
})

t.test('a signal stores what is open', async (t) => {
  const mount = await mounts.start('signal')
  const script = `const fs = require('node:fs')
    const [written, ended] = process.argv.slice(1)
    fs.writeSync(fs.openSync('open', 'w'), 'typed')
    fs.writeFileSync(written, '')
    setInterval(() => fs.existsSync(ended) && process.exit(), 20)`
  const written = mounts.path('written')
  const ended = mounts.path('ended')
  const writing = mount.node(script, written, ended)
  await until(() => existsSync(written))
  t.equal(await mount.end('SIGINT'), 0)
  writeFileSync(ended, '')
  await writing
  const again = await mounts.start('signal')
  t.equal(await again.out('cat open'), 'typed')
})

t.test('a killed daemon leaves no dead mount', async (t) => {
  const mount = await mounts.start('killed')
  await mount.out('echo x > f')
  mount.process.kill('SIGKILL')
  await until(() => !isMounted(mount.mountpoint))
  const again = await mounts.start('killed')
  t.equal(await again.out('cat f'), 'x')
})

t.test('a dead mount that is left all the same is replaced', async (t) => {
  const mount = await mounts.start('dead')
  execFileSync('pkill', ['-KILL', '-f', `sh ${mount.mountpoint}`])
  mount.process.kill('SIGKILL')
  await sleep(1500)
  t.ok(isMounted(mount.mountpoint), 'nobody has taken it off')
  const again = await mounts.start('dead')
  t.equal(await again.out('echo x > f; cat f'), 'x')
})

t.test(
  'a mount that the kernel gives up comes off, and what was written is kept',
  { skip: process.getuid?.() !== 0 && 'only root can make the kernel do so' },
  async (t) => {
    const mount = await mounts.start('aborted')
    // Its number names it in fusectl as well: Documentation/filesystems/fuse of the kernel.
    const number = await mount.out('stat -c %d .')
    const writer = mount.sh('exec 3> written; echo kept >&3; sleep 3')
    await sleep(300)
    const abort = `mount -t fusectl none . && cd "$0" && echo 1 > ${number}/abort; cd /; umount "$0"`
    t.match(await shell(abort, mounts.folder('connections')), { status: 0 })
    await until(() => !mount.isRunning)
    t.notOk(isMounted(mount.mountpoint))
    t.match(mount.said.join(''), /was unmounted/)
    await writer
    const again = await mounts.start('aborted')
    t.equal(await again.out('cat written'), 'kept')
  },
)

t.test('--local brings servers of its own, and stops them at the end', async (t) => {
  const ports = await freePorts()
  const folder = mounts.path('local')
  const local = ['--local', folder, '--port', String(ports)]
  const mount = await mounts.start('with-servers', ...local)
  await until(() => /Try, in another terminal:/.test(mount.said.join('')))
  t.equal(await mount.out('echo x > f; cat f'), 'x')
  const pid = Number(readFileSync(join(folder, 'run/DFS2.pid'), 'utf8'))
  process.kill(pid, 'SIGKILL')
  t.equal(await mount.out('echo y >> f; cat f'), 'x\ny', 'one that dies is not missed')
  await until(() => ![0, pid].includes(Number(readFileSync(join(folder, 'run/DFS2.pid'), 'utf8'))))
  t.equal(await mount.end(), 0)
  t.same(
    readdirSync(join(folder, 'run')).filter((name) => name.endsWith('.pid')),
    [],
    'all are stopped',
  )

  const other = await mounts.start('with-servers', ...local)
  t.equal(await other.out('cat f'), 'x\ny', 'what they keep is still there')
  other.process.kill('SIGKILL')
  await until(() => !isMounted(other.mountpoint))
  t.ok(existsSync(join(folder, 'run/DFS1.pid')), 'they outlive a mount that is killed')
  const third = await mounts.start('with-servers', ...local)
  t.equal(await third.out('cat f'), 'x\ny')
  t.equal(await third.end(), 0)
})

t.test('a mount whose local servers have lost their folder ends, and they with it', async (t) => {
  const folder = mounts.path('removed')
  const ports = String(await freePorts())
  const mount = await mounts.start('of-removed', '--local', folder, '--port', ports)
  const pids = [1, 2, 3, 4].map((n) =>
    Number(readFileSync(join(folder, `run/DFS${n}.pid`), 'utf8')),
  )
  rmSync(folder, { recursive: true })
  t.equal(await mount.end(), 0)
  t.same(
    pids.filter((pid) => existsSync(`/proc/${pid}`)),
    [],
  )
})

/** What a user has who has configured nothing. */
const unconfigured = { DFC_CONFIG: '', XDG_CONFIG_HOME: '' }

t.test(
  'without a configuration anywhere a mount brings servers of its own, and says so',
  async (t) => {
    if (existsSync('/etc/dfs/dfc.conf')) return t.pass('this machine has a configuration')
    const file = mounts.path('a-file')
    await shell(`touch '${file}'`, '/')
    const refused = { status: wrongConfiguration, problems: `dfs-mount: ${file} is not a folder\n` }
    t.match(await mounts.runWith(unconfigured, file), refused)
    t.notOk(existsSync(mounts.path('data/dfs')), 'no account is founded in vain')
    // It is made, as in a home that has nothing yet.
    const mnt = mounts.path('trial')
    t.teardown(() => detach(mnt))
    const ports = String(await freePorts())
    const { status, out } = await mounts.runWith(unconfigured, '--port', ports, mnt)
    t.equal(status, 0)
    const said = `There is no configuration in ${mounts.path('.config/dfs/dfc.conf')} or /etc/dfs/dfc.conf, so four servers on this machine keep the files, in ${mounts.path('data/dfs')}, as with --local; "dfc init" makes a configuration for four servers of your own\n`
    t.equal(out, said)
    await shell('echo x > f', mnt)
    const conf = mounts.path('data/dfs/dfc.conf')
    t.equal(statSync(conf).mode & 0o777, 0o600)
    const environment = { ...mounts.environment, ...unconfigured }
    const dfc = resolve(import.meta.dirname, '../../../bin/dfc')
    t.match(await shell(`'${dfc}' list`, '/', environment), { status: 0, out: 'f\n' })
    t.same(await mounts.unmount(mnt, unconfigured), done)
    // A mount namespace of another test may have a copy, with which the servers go on for a moment.
    await until(() => !existsSync(mounts.path('data/dfs/run/DFS1.pid')))
  },
)

t.test(
  'a configuration that is named and not there is no reason for servers of its own',
  async (t) => {
    const mnt = mounts.folder('no-trial')
    const missing = mounts.path('nowhere.conf')
    t.match(await mounts.runWith({ DFC_CONFIG: missing }, mnt), {
      status: wrongConfiguration,
      problems: `dfs-mount: ${missing}: cannot read the configuration: there is no such file: "dfc init" makes a configuration\n`,
    })
  },
)

t.test('several mounts with --local may begin and end at the same moment', async (t) => {
  const folder = mounts.path('at-once')
  const local = ['--local', folder, '--port', String(await freePorts())]
  for (let round = 0; round < 3; round += 1) {
    const names = ['one', 'two', 'three'].map((name) => `${name}-${round}`)
    const all = await Promise.all(names.map((name) => mounts.start(name, ...local)))
    const [first, second] = all
    await first?.out(`echo ${round} > f`)
    t.equal(await second?.out('cat f'), String(round), 'they share the servers')
    t.same(await Promise.all(all.map((mount) => mount.end())), [0, 0, 0])
    const pids = readdirSync(join(folder, 'run')).filter((name) => name.endsWith('.pid'))
    t.same(pids, [], 'the last one stops them')
  }
})

/** Whether the first server of a cluster below `folder` is still there. */
function firstServerRuns(folder: string): boolean {
  return existsSync(join(folder, 'run/DFS1.pid'))
}

t.test('Control-C under npm arrives twice, and ends mount and servers in order', async (t) => {
  const folder = mounts.path('twice')
  const ports = String(await freePorts())
  const mount = await mounts.start('twice-interrupted', '--local', folder, '--port', ports)
  mount.process.kill('SIGINT')
  await sleep(20)
  t.equal(await mount.end('SIGINT'), 0)
  t.notOk(firstServerRuns(folder))
})

t.test('a terminal that is closed ends mount and servers in order', async (t) => {
  const folder = mounts.path('hangup')
  const ports = String(await freePorts())
  const mount = await mounts.start('hung-up', '--local', folder, '--port', ports)
  // The output has no reader any more, like a terminal that is closed.
  mount.process.stdout?.destroy()
  mount.process.stderr?.destroy()
  t.equal(await mount.end('SIGHUP'), 0)
  t.notOk(firstServerRuns(folder))
})

t.test(
  '--local finds the mountpoint at the end of its folders, and keeps one in each of four',
  async (t) => {
    const ports = String(await freePorts())
    const mnt = mounts.folder('last-word')
    const disks = ['a', 'b', 'c', 'd'].map((name) => mounts.path(`disk-${name}`))
    t.teardown(() => detach(mnt))
    t.match(await mounts.run('--port', ports, '--local', ...disks, mnt), { status: 0 })
    await shell('echo x > f', mnt)
    t.same(await mounts.unmount(mnt), done)
    for (const disk of disks) t.ok(existsSync(join(disk, 'identity.json')), disk)
    t.match(await mounts.run('--local', 'a', 'b', mnt), {
      status: wrongConfiguration,
      problems: /not 2\n$/,
    })
    t.match(await mounts.run('--port', ports, mnt), { status: 2, problems: /belongs to --local/ })
    t.match(await mounts.run('--config', 'x', '--local', mnt), {
      status: 2,
      problems: /cannot be used with --local/,
    })
  },
)

t.test(
  'without --port the servers keep their ports, and choose others that are free',
  async (t) => {
    const mnt = mounts.folder('ports')
    t.teardown(() => detach(mnt))
    const folder = mounts.path('of-ports')
    const first = await freePorts()
    const address = () =>
      /address = "(.*)"/.exec(readFileSync(join(folder, 'dfc.conf'), 'utf8'))?.[1]
    t.match(await mounts.run('--port', String(first), '--local', folder, mnt), { status: 0 })
    await shell('echo x > f', mnt)
    t.same(await mounts.unmount(mnt), done)
    await until(() => !firstServerRuns(folder))

    t.match(await mounts.run('--local', folder, mnt), { status: 0 })
    t.equal(address(), `127.0.0.1:${first}`)
    t.same(await mounts.unmount(mnt), done)
    await until(() => !firstServerRuns(folder))

    // As those of another user are who has begun before.
    const taken = createServer().listen(first + 2, '127.0.0.1')
    await until(() => taken.address() !== null)
    t.teardown(() => taken.close())
    t.match(await mounts.run('--local', folder, mnt), { status: 0, problems: '' })
    t.not(address(), `127.0.0.1:${first}`)
    t.match(await shell('cat f', mnt), { out: 'x\n' })
    t.same(await mounts.unmount(mnt), done)
  },
)

t.test('--local says when a port is taken', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await until(() => taken.address() !== null)
  t.teardown(() => taken.close())
  const { port } = taken.address() as { port: number }
  const mnt = mounts.folder('taken')
  const { status, problems } = await mounts.run(
    '--local',
    mounts.path('t'),
    '--port',
    `${port}`,
    mnt,
  )
  t.equal(status, 1)
  t.match(problems, `port ${port}, for DFS1, is taken by another program`)
})
