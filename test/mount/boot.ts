/** What a machine does with a mount and servers when it starts: waiting, words of mount(8), systemd's notices and units. */
import { type ChildProcess, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { stateFolderOf } from '../../src/fuse/daemon/state-folder.js'
import { stateHome } from '../../src/state-home.js'
import { isInstalled } from '../fixtures/installed.js'
import { removedAfterDeath, spawnMortal, temporaryFolder } from '../fixtures/mortal.js'
import { detach, isMounted, shell, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

t.setTimeout(240_000)
const project = resolve(import.meta.dirname, '../../..')
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config('alice', 10_000))
const done = { status: 0, out: '', problems: '' }
const isRoot = process.getuid?.() === 0

/** Receives the datagrams of a service on a socket of its own, which the kernel has for nobody else. */
async function serviceManager(t: Test, path: string): Promise<() => string> {
  const script = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace("@", "\\0", 1))
print("bound", flush=True)
while True: print(s.recv(4096).decode(), flush=True)`
  const child: ChildProcess = spawnMortal('python3', ['-c', script, path])
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout?.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  await until(() => said.includes('bound\n'))
  return () => said.replace('bound\n', '')
}

t.test('a mount waits for servers that are not up yet, and says for which', async (t) => {
  const first = await mounts.start('founding')
  await first.out('echo x > f; sync')
  await first.end()
  await servers.kill(0, 2)
  const mnt = mounts.folder('waiting')
  t.teardown(() => detach(mnt))
  const mounting = mounts.run('--wait', '60s', mnt)
  const { log } = stateFolderOf(mnt, stateHome(mounts.environment))
  await until(() => existsSync(log) && readFileSync(log, 'utf8').includes('waiting up to'))
  t.notOk(isMounted(mnt), 'two are there, and changes need three')
  await servers.start(0)
  const { status, problems } = await mounting
  t.match(
    { status, problems },
    {
      status: 0,
      problems: 'dfs-mount: waiting up to 60 s until 3 servers are up; not there: DFS1, DFS3\n',
    },
  )
  t.match(await shell('cat f; echo y > g; sync', mnt), { status: 0, out: 'x\n' })
  t.same(await mounts.unmount(mnt), done)
})

t.test('when the time is over it mounts with those that are there', async (t) => {
  await servers.kill(1)
  const notices = await serviceManager(t, '@dfs-boot-waiting')
  const mount = await mounts.startWith(
    { NOTIFY_SOCKET: '@dfs-boot-waiting' },
    'two',
    '-o',
    'wait=1s',
  )
  t.match(await mount.sh('cat f; echo x > new'), { status: 2, problems: /Read-only file system/ })
  t.match(
    notices(),
    /^STATUS=waiting up to 1 s until 3 servers are up; not there: DFS2, DFS3\nREADY=1\nSTATUS=mounted on /,
  )
  t.equal(await mount.end(), 0)
  await until(() => notices().includes('STOPPING=1\n'))
})

t.test('a signal ends the wait', async (t) => {
  const mnt = mounts.folder('ended')
  const program = join(project, 'bin/dfs-mount')
  const said = mounts.path('ended.log')
  const script = `'${program}' --foreground --wait 1h '${mnt}' 2> '${said}' &
    until grep -q 'ait' '${said}'; do sleep 0.1; done
    kill $!; wait $!; status=$?; cat '${said}' >&2; exit $status`
  const { status, problems } = await shell(script, '/', mounts.environment)
  t.equal(status, 1)
  t.match(problems, /dfs-mount: ended while it waited for servers\n$/)
  await servers.start(1)
  await servers.start(2)
})

t.test('a server tells the service manager that it listens, and that it ends', async (t) => {
  const folder = temporaryFolder('dfs-notify-')
  const path = join(folder, 'notify')
  const notices = await serviceManager(t, path)
  const words = [join(folder, 'DFS1'), '0', '--config', servers.usersFile]
  const env = { PATH: process.env.PATH, HOME: folder, NOTIFY_SOCKET: path }
  const child = spawnMortal(join(project, 'bin/dfs-server'), words, { env, stdio: 'ignore' })
  await until(() => /^READY=1\nSTATUS=listens on 127\.0\.0\.1:\d+\n$/.test(notices()))
  t.notMatch(
    readFileSync(`/proc/${child.pid}/cmdline`, 'utf8'),
    /setpriv/,
    'it is the main process',
  )
  child.kill('SIGTERM')
  await until(() => notices().endsWith('STOPPING=1\n'))
  t.pass()
})

t.test('mount(8) knows the type dfs by its helper, with the words of fstab', async (t) => {
  const helper = '/sbin/mount.dfs'
  const mnt = mounts.folder('typed')
  t.teardown(() => detach(mnt))
  const conf = mounts.path('dfc.conf')
  const environment = mounts.environment
  const direct = join(project, 'bin/mount.dfs')
  const words =
    '_netdev,nofail,noauto,user,exec,relatime,strictatime,x-systemd.automount,x-gvfs-show,comment=a,defaults,wait=5s'
  t.match(
    await shell(
      `'${direct}' '${conf}' '${mnt}' -f -n -s -v -o rw,${words},unknown`,
      '/',
      environment,
    ),
    { status: 0 },
  )
  t.notOk(isMounted(mnt), '-f mounts nothing')
  const unknown = await shell(`'${direct}' '${conf}' '${mnt}' -o nosuchword`, '/', environment)
  t.match(unknown, { status: 32, problems: /-o nosuchword: unknown word, expected one of ro, / })
  if (!isRoot || existsSync(helper)) return
  symlinkSync(direct, removedAfterDeath(helper))
  t.teardown(() => unlinkSync(helper))
  t.match(await shell(`mount -t dfs '${conf}' '${mnt}' -o ${words}`, '/', environment), {
    status: 0,
  })
  t.match(await shell('findmnt -n -o FSTYPE "$PWD"', mnt), { out: /fuse\.dfs/ })
  const table = mounts.path('fstab')
  writeFileSync(table, `${conf} ${mnt} dfs ${words} 0 0\n`)
  t.match(
    await shell(
      `mount -T '${table}' -a; umount '${mnt}'; mount -T '${table}' '${mnt}'`,
      '/',
      environment,
    ),
    { status: 0 },
  )
  t.match(await shell('cat f', mnt), { status: 0, out: 'x\n' })
  t.match(await shell(`umount '${mnt}'`, '/'), { status: 0 })
})

t.test(
  'the units of systemd are valid',
  { skip: !isInstalled('systemd-analyze') && 'no systemd' },
  async (t) => {
    // The units name programs of an installed package: here they are those of the project.
    const root = temporaryFolder('dfs-units-')
    const folder = join(root, 'units')
    mkdirSync(folder)
    for (const name of [
      'dfs-server@.service',
      'dfs-mount@.service',
      'examples/mnt-files.mount',
      'examples/mnt-files.automount',
    ]) {
      const text = readFileSync(join(project, 'systemd', name), 'utf8')
      t.notMatch(
        text.replaceAll('/usr/bin/dfs-server', '').replaceAll('/usr/bin/dfs-mount', ''),
        '/usr/',
      )
      writeFileSync(
        join(folder, name.replace('examples/', '')),
        text.replaceAll('/usr/bin/', `${project}/bin/`),
      )
    }
    cpSync(join(folder, 'dfs-server@.service'), join(folder, 'dfs-server@DFS1.service'))
    cpSync(join(folder, 'dfs-mount@.service'), join(folder, 'dfs-mount@mnt-files.service'))
    const units = [
      'dfs-server@DFS1.service',
      'dfs-mount@mnt-files.service',
      'mnt-files.mount',
      'mnt-files.automount',
    ]
    const paths = units.map((unit) => join(folder, unit))
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...paths], {
      encoding: 'utf8',
    })
    t.equal(
      stderr
        .split('\n')
        .filter((line) => line.includes('dfs') || line.includes('mnt-files'))
        .join('\n'),
      '',
    )
    t.equal(status, 0, stderr)
  },
)
