/**
 * Files that programs make without a name, with O_TMPFILE: system-calls.ts compares them with those of
 * ext4; here are a second mount, the end of a mount, and servers that are down.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { checkAll, clean, healNow, openClient } from '../fixtures/library.js'
import { isMounted, type TestMount, TestMounts } from '../fixtures/mount.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

/** Options of a repair that also removes orphans written a moment ago, by a clock that may differ. */
const healAll = { ...healNow, orphanAgeMs: -60_000 }
const { garbage: _, ...tidy } = clean

const prelude = `
import errno, hashlib, os, sys, time
def make(flags=os.O_RDWR):
    return os.open('.', os.O_TMPFILE | flags, 0o644)
def link(fd, name):
    os.link(f'/proc/self/fd/{fd}', name, src_dir_fd=fd, follow_symlinks=True)
def tried(f, *words):
    try:
        f(*words)
        return 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
def wait(path):
    while not os.path.exists(path): time.sleep(0.02)
def say(*words):
    print(*words, flush=True)
`

function python(mount: TestMount, script: string, ...words: readonly string[]): Promise<string> {
  return mount.out(`python3 -c "$SCRIPT" ${words.join(' ')}`, { SCRIPT: prelude + script })
}

function reasonToSkip(): string | false {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' })
  } catch {
    return 'python3 is not installed'
  }
  return !existsSync('/dev/fuse') && 'there is no /dev/fuse'
}

t.setTimeout(240_000)
const skip = reasonToSkip()
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())

t.test(
  'a link shows the whole file elsewhere at once, and it outlives the mount',
  { skip },
  async (t) => {
    const [mount, other] = [await mounts.start('one'), await mounts.start('two')]
    const linked = mounts.path('linked')
    const looked = mounts.path('looked')
    const writing = python(
      mount,
      `
linked, looked = sys.argv[1:]
fds = []
for i in range(24):
    fd = make()
    data = bytes([i]) * [7, 4096, 300_000, 40_000_000][0 if i < 12 else 1 + i % 2 if i < 23 else 3]
    for at in range(0, len(data), 1 << 20): os.write(fd, data[at:at + (1 << 20)])
    if i % 3 == 0: os.fsync(fd)
    fds.append((i, fd, hashlib.md5(data).hexdigest()))
sums = ''
for i, fd, digest in fds:
    if i % 4 != 3 and i < 23: os.close(fd)
    else:
        link(fd, f'f{i}')
        sums += f'{digest}  f{i}\\n'
open(linked, 'w').write(sums)
wait(looked)
for i, fd, _ in fds:
    if i % 4 == 3: os.write(fd, b'the end')
`,
      linked,
      looked,
    )
    await Promise.race([writing, until(() => existsSync(linked))])
    t.match(await other.out(`md5sum -c ${linked} && ls`), /^(f\d+: OK\n){6}(f\d+\n?){6}$/)
    writeFileSync(looked, '')
    await writing
    t.equal(await other.out('for f in f*; do tail -c 7 $f; done'), 'the end'.repeat(6))
    t.equal(await mount.end(), 0)
    t.equal(await other.end(), 0)
    const again = await mounts.start('one')
    t.equal(
      await again.out('for f in f*; do tail -c 7 $f; done; ls | wc -l'),
      `${'the end'.repeat(6)}6`,
    )
    t.equal(await again.end(), 0)
    const client = await openClient(t, servers)
    t.match(await client.scheduler.heal(healAll), { orphansDeleted: 0, left: 0, lost: [] })
    t.match(await checkAll(client), tidy)
  },
)

t.test(
  'while two servers are down nothing is made or linked, and later it is',
  { skip },
  async (t) => {
    const mount = await mounts.start('one')
    const [opened, down, was] = [mounts.path('opened'), mounts.path('down'), mounts.path('was')]
    const script = `
opened, down, was = sys.argv[1:]
def until(outcome):
    while tried(os.chmod, '.', 0o755) != outcome: time.sleep(0.02)
fd = make()
os.write(fd, b'patience')
open(opened, 'w')
wait(down)
until('EROFS')
say(tried(make), tried(link, fd, 'late'), os.fstat(fd).st_nlink)
open(was, 'w')
until('done')
say(tried(link, fd, 'late'), os.fstat(fd).st_nlink, open('late').read())
`
    const working = python(mount, script, opened, down, was)
    await Promise.race([working, until(() => existsSync(opened))])
    await servers.kill(1, 3)
    writeFileSync(down, '')
    await Promise.race([working, until(() => existsSync(was))])
    await Promise.all([servers.start(1), servers.start(3)])
    t.equal(await working, 'EROFS EROFS 0\ndone 1 patience')
    t.equal(await mount.end(), 0)
  },
)

t.test('a read-only mount makes no file without a name', { skip }, async (t) => {
  const mount = await mounts.start('one', '-o', 'ro')
  t.equal(await python(mount, 'say(tried(make))'), 'EROFS')
  t.equal(await mount.end(), 0)
})

t.test(
  'files without a name that a killed mount leaves are deleted by repair',
  { skip },
  async (t) => {
    const mount = await mounts.start('one')
    const opened = mounts.path('open')
    const script = `
fd, other = make(), make(os.O_RDWR | os.O_EXCL)
os.write(fd, b'x' * 100_000)
os.fsync(fd)
open(sys.argv[1], 'w')
wait(sys.argv[1] + '.never')
`
    const working = python(mount, script, opened).catch(() => undefined)
    await Promise.race([working, until(() => existsSync(opened))])
    mount.process.kill('SIGKILL')
    await until(() => !isMounted(mount.mountpoint))
    writeFileSync(`${opened}.never`, '')
    await working
    const client = await openClient(t, servers)
    await until(() => client.cluster.voters.length === 4)
    t.match(await client.scheduler.heal(healNow), { orphansDeleted: 0 }, 'they are young')
    t.match(await client.scheduler.heal(healAll), { orphansDeleted: 2, left: 0, lost: [] })
    t.match(await checkAll(client), tidy)
  },
)
