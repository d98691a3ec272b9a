/** Where a mount may be, with what words, and what it is to mount(8), /proc/mounts and a bind mount. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { removedAfterDeath } from '../fixtures/mortal.js'
import { isMounted, shell, TestMounts } from '../fixtures/mount.js'
import type { Outcome } from '../fixtures/outcome.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config('alice', 10_000))
const configFile = mounts.path('dfc.conf')
const done = { status: 0, out: '', problems: '' }
const isRoot = process.getuid?.() === 0
const needsRoot = { skip: !isRoot && 'only root can mount this' }
const programs = resolve(import.meta.dirname, '../../../bin')
const helper = '/sbin/mount.fuse.dfs'

/** Runs a script with the paths as $1, $2 .. to its end. */
function run(script: string, ...paths: readonly string[]): Promise<Outcome> {
  const words = paths.map((path) => `'${path}'`).join(' ')
  return shell(`set -- ${words}; ${script}`, '/', mounts.environment)
}

/** Makes a folder that is taken off and left empty at the end of the test. */
function place(t: Test, name: string): string {
  const path = mounts.folder(name)
  t.teardown(() => {
    while (isMounted(path)) execFileSync('umount', ['-l', path], { stdio: 'ignore' })
  })
  return path
}

/** Returns the flags of a mount in /proc/mounts. */
async function flagsOf(path: string): Promise<readonly string[]> {
  const { out } = await run('grep " $1 " /proc/mounts | tail -n 1 | cut -d" " -f4', path)
  return out.trim().split(',')
}

async function mountsAndUnmounts(t: Test, path: string): Promise<void> {
  t.same(await mounts.run(path), done)
  t.match(await run('findmnt -n -o FSTYPE --mountpoint "$1" | tail -n 1', path), {
    out: /fuse\.dfs/,
  })
  t.match(await run('echo x > "$1/f" && cat "$1/f"', path), { status: 0, out: 'x\n' })
  t.match(await mounts.run(path), { status: 1, problems: /already mounted \(fuse\.dfs\)/ })
  t.same(await mounts.unmount(path), done)
}

t.test('a link to a folder is followed', async (t) => {
  const folder = mounts.folder('linked')
  symlinkSync('linked', mounts.path('link'))
  symlinkSync(mounts.path('link'), mounts.path('link-to-link'))
  t.same(await mounts.run(mounts.path('link-to-link')), done)
  t.ok(isMounted(folder))
  t.same(await mounts.unmount(mounts.path('link')), done)
  t.notOk(isMounted(folder))
})

t.test('a mount on top of another one hides it until the end', needsRoot, async (t) => {
  const [bound, tmpfs] = [place(t, 'bound'), place(t, 'tmpfs')]
  t.match(await run('mount --bind "$1" "$1" && mount -t tmpfs t "$2"', bound, tmpfs), done)
  for (const path of [bound, tmpfs]) {
    await mountsAndUnmounts(t, path)
    t.ok(isMounted(path))
    t.match(await mounts.run('--unmount', path), { status: 1, problems: /is not mounted/ })
    t.ok(isMounted(path), 'what others have mounted is theirs to take off')
  }
  writeFileSync(join(tmpfs, 'x'), '')
  t.match(await mounts.run(tmpfs), { status: 78, problems: /is not empty.*-o nonempty/ })
  t.same(await mounts.run('-o', 'nonempty', tmpfs), done)
  t.same(await mounts.unmount(tmpfs), done)
})

t.test('a bind mount is not cut by --unmount of the first place', needsRoot, async (t) => {
  const mount = await mounts.start('first')
  const bound = place(t, 'second')
  t.match(await run('mount --bind "$1" "$2"', mount.mountpoint, bound), done)
  const [begun, go] = [mounts.path('begun'), mounts.path('go')]
  const writing = run(
    'exec 3> "$1/log"; echo before >&3; touch "$2"; until [ -e "$3" ]; do sleep 0.1; done; echo after >&3',
    bound,
    begun,
    go,
  )
  await until(() => existsSync(begun))
  const { status, out } = await mounts.run('--unmount', mount.mountpoint)
  t.equal(status, 0)
  t.match(out, /stays mounted elsewhere/)
  t.notOk(isMounted(mount.mountpoint))
  t.match(await mounts.run('--unmount', mount.mountpoint), {
    status: 1,
    problems: /is not mounted/,
  })
  writeFileSync(go, '')
  t.match(await writing, done)
  t.same(await mounts.run(mount.mountpoint), done, 'another daemon may take the place')
  t.match(await run('cat "$1/log"', mount.mountpoint), { out: 'before\nafter\n' })
  t.ok(mount.isRunning)
  t.same(await mounts.unmount(bound), done)
  await until(() => !mount.isRunning)
  t.equal(mount.process.exitCode, 0, 'the last mount ends it')
  t.same(await mounts.unmount(mount.mountpoint), done, 'the other one still answers')
})

t.test('-o ro is known to the kernel, and a remount changes it', async (t) => {
  const mount = await mounts.start('read-only', '-o', 'ro,noexec,noatime')
  const { mountpoint } = mount
  const flags = await flagsOf(mountpoint)
  for (const word of ['ro', 'noexec', 'noatime']) t.ok(flags.includes(word), word)
  t.match(await mount.sh('echo x > f'), { problems: /Read-only file system/ })
  t.match(await mount.sh('test -w .'), { status: 1 })
  if (!isRoot) return
  t.match(await run('mount -i -o remount,rw "$1"', mountpoint), done)
  t.equal(await mount.out('echo x > f; cat f'), 'x', 'the daemon has no flag of its own')
  t.match(await mount.sh('cp /bin/true . && ./true'), { problems: /Permission denied/ })
  t.match(await run('mount -i -o remount,ro "$1"', mountpoint), done)
  t.match(await mount.sh('echo x > f'), { problems: /Read-only file system/ })
  t.same(await mounts.run('-o', 'remount,rw,exec', mountpoint), done)
  t.equal(await mount.out('./true && rm true && echo ran'), 'ran')
  const after = await flagsOf(mountpoint)
  t.notOk(after.includes('noexec') || after.includes('ro'))
  t.ok(after.includes('noatime'), 'what nothing was said of stays')
  const held = mount.sh('exec 3>> f; echo y >&3; sleep 2')
  await until(() => existsSync('/proc') && isMounted(mountpoint))
  await mount.out('until [ "$(wc -l < f)" = 2 ]; do sleep 0.1; done')
  t.match(await mounts.run('-o', 'remount,ro', mountpoint), {
    status: 1,
    problems: /being written/,
  })
  await held
  t.same(await mounts.run('-o', 'remount,ro', mountpoint), done)
  const empty = mounts.folder('empty')
  t.match(await mounts.run('-o', 'remount,ro', empty), { status: 1, problems: /is not mounted/ })
})

t.test('-o sync: what was answered outlives a kill of the mount', async (t) => {
  const mount = await mounts.start('sync', '-o', 'sync')
  t.ok((await flagsOf(mount.mountpoint)).includes('sync'))
  const script = `const fs = require('node:fs')
    fs.closeSync(fs.openSync('empty', 'w'))
    const long = fs.openSync('long', 'w')
    const cut = fs.openSync('cut', 'w')
    fs.writeSync(long, 'a'.repeat(3_000_000))
    fs.writeSync(cut, 'abcdef')
    fs.ftruncateSync(cut, 3)
    fs.writeFileSync(process.argv[1], '')
    setInterval(() => 0, 1000)`
  const written = mounts.path('written')
  const writing = mount.node(script, written).catch(() => undefined)
  await until(() => existsSync(written))
  mount.process.kill('SIGKILL')
  await until(() => !isMounted(mount.mountpoint))
  const again = await mounts.start('sync')
  t.equal(await again.out('stat -c %n:%s empty long cut'), 'empty:0\nlong:3000000\ncut:3')
  execFileSync('pkill', ['-f', written])
  await writing
})

t.test('-o dirsync: an empty file that was just made outlives a kill of the mount', async (t) => {
  const mount = await mounts.start('dirsync', '-o', 'dirsync')
  await mount.out('mkdir made && : > made/new')
  mount.process.kill('SIGKILL')
  await until(() => !isMounted(mount.mountpoint))
  t.equal(await (await mounts.start('dirsync')).out('ls made'), 'new')
})

t.test('words of fstab are taken', async (t) => {
  const words = `defaults,nofail,_netdev,x-systemd.automount,x-systemd.idle-timeout=5,noauto,auto,
    user,users,owner,group,async,relatime,noatime,strictatime,lazytime,nodiscard,nodiratime,
    comment=x,X-mount.x,nonempty`
  const mnt = place(t, 'words')
  t.same(await mounts.run('-o', words.replaceAll(/\s/g, ''), mnt), done)
  const flags = await flagsOf(mnt)
  for (const word of ['nosuid', 'nodev', 'noexec']) t.ok(flags.includes(word), word)
  t.same(await mounts.unmount(mnt), done)
  t.same(await mounts.run('-sf', '-o', 'nosuch', mnt), done)
  t.match(await mounts.run('-f', '-o', 'nosuch', mnt), { status: 78, problems: /unknown word/ })
  t.notOk(isMounted(mnt), 'a fake mount is none')
})

t.test('set-user-ID bits and device nodes of a mount need to be asked for', async (t) => {
  const mount = await mounts.start('insecure')
  const secure = ['nosuid', 'nodev']
  const flags = await flagsOf(mount.mountpoint)
  for (const word of secure) t.ok(flags.includes(word), word)
  if (!isRoot) return
  await mount.out('cp "$(command -v id)" id && chmod 4755 id && mknod null c 1 3 && chmod 666 null')
  t.equal(
    await mount.out('stat -c %A id null'),
    '-rwsr-xr-x\ncrw-rw-rw-',
    'they are kept all the same',
  )
  t.match(await mount.sh('cat null'), { status: 1, problems: /Permission denied/ })
  t.same(await mounts.run('-o', 'remount,ro', mount.mountpoint), done)
  t.match(await flagsOf(mount.mountpoint), ['ro', 'nosuid', 'nodev'], 'a remount keeps both')
  t.match(await run('mount -i -o remount,rw "$1"', mount.mountpoint), { status: 0 })
  for (const word of secure) t.ok((await flagsOf(mount.mountpoint)).includes(word), word)
  await mount.end()
  const asked = await mounts.start('insecure', '-o', 'suid,dev')
  for (const word of secure) t.notOk((await flagsOf(asked.mountpoint)).includes(word), word)
  t.match(await asked.sh('cat null'), done)
})

t.test('mount(8) mounts a configuration by the name of the program', needsRoot, async (t) => {
  if (!existsSync('/sbin/mount.fuse') && !existsSync('/sbin/mount.fuse3')) {
    return t.plan(0, 'mount.fuse(8) is not installed')
  }
  const mnt = place(t, 'by-program')
  const source = `${join(programs, 'dfs-mount')}#${configFile}`
  t.match(await run('mount -t fuse "$1" "$2" -o ro,nofail', source, mnt), { status: 0 })
  t.match(await flagsOf(mnt), ['ro', 'nosuid', 'nodev'])
  t.match(await run('umount "$1"', mnt), done)
})

t.test('mount(8) mounts, remounts and knows the type fuse.dfs by its helper', async (t) => {
  const mnt = place(t, 'by-helper')
  const mount = join(programs, basename(helper))
  t.match(await run('"$1" "$2" "$3" -n -o rw,noexec', mount, configFile, mnt), done)
  t.match(await run('findmnt -n -o SOURCE,FSTYPE "$1"', mnt), { out: /dfc\.conf +fuse\.dfs/ })
  const again = await run('"$1" "$2" "$3"', mount, configFile, mnt)
  t.match(again, { status: 32, problems: /already mounted/ }, 'as mount(8) numbers failures')
  t.match(await run('"$1" --nonsense "$2" "$3"', mount, configFile, mnt), { status: 1 })
  t.same(await mounts.unmount(mnt), done)
  t.match(await mounts.run(configFile, mnt, 'third'), { status: 2, problems: /too many/ })
  t.match(await mounts.run('--config', 'x', configFile, mnt), { status: 2 })
  if (!isRoot || existsSync(helper)) return
  symlinkSync(mount, removedAfterDeath(helper))
  t.teardown(() => unlinkSync(helper))
  t.match(await run('mount -v -t fuse.dfs "$1" "$2" -o noexec', configFile, mnt), { status: 0 })
  t.match(await run('mount -o remount,ro "$1"', mnt), { status: 0 })
  const flags = await flagsOf(mnt)
  for (const word of ['ro', 'noexec', 'nosuid', 'nodev']) t.ok(flags.includes(word), word)
  t.match(await run('mount -o remount,rw "$1" && echo x > "$1/f"', mnt), { status: 0 })
  t.match(await run('mount -o remount,exec "$1"', mnt), { status: 0 })
  t.notOk((await flagsOf(mnt)).includes('noexec'))
  mkdirSync(mounts.path('none'))
  const fake = await run('mount -f -t fuse.dfs "$1" "$2"', configFile, mounts.path('none'))
  t.match(fake, { status: 0 })
  t.notOk(isMounted(mounts.path('none')))
  t.match(await run('umount "$1"', mnt), done)
})
