/** Tests of a mount of root without allow_other, for which the kernel does not check permissions. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(120_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.startWith({ DEBUG: 'dfs:fuse' }, 'a')

/** Runs Python in the mount as a file server that acts for user 1000: setfsuid(2). */
const asFileServer = (code: string): string =>
  `python3 -c 'import ctypes, os; ctypes.CDLL(None).setfsuid(1000); ${code}'`

/** Runs a command as root without any capability. */
const withoutCapabilities = 'setpriv --bounding-set=-all --inh-caps=-all'

function optionsOf(mountpoint: string): string {
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((one) => one.split(' ')[1] === mountpoint)
  return line?.split(' ')[3] ?? ''
}

t.test('removing names takes one request each', async (t) => {
  t.notMatch(optionsOf(mount.mountpoint), /default_permissions/)
  await mount.out('mkdir d; touch $(seq -f d/%g 100); ls -l d')
  const from = mount.said.length
  await mount.out('rm d/*')
  await sleep(200)
  const lines = mount.said.slice(from).join('').split('\n')
  const count = (name: string): number => lines.filter((line) => line.includes(` ${name} `)).length
  t.equal(count('unlink'), 100)
  t.ok(count('getattr') < 20, `${count('getattr')} questions about attributes`)
})

t.test('access(2) and execve(2) go by the bits for execution', async (t) => {
  await mount.out('printf "#!/bin/sh\\necho ran\\n" > p; chmod 644 p')
  t.equal(
    await mount.out('[ -x p ] || echo no; [ -r p ] && [ -w p ] && [ -x d ] && echo yes'),
    'no\nyes',
  )
  t.match(await mount.sh('./p'), { status: 126 })
  t.equal(await mount.out('chmod 100 p; [ -x p ] && ./p'), 'ran')
  t.equal(await mount.out('chmod 000 p d; cat p > /dev/null && touch d/x && cd d && ls'), 'x')
})

t.test('a program that acts for another user is refused', async (t) => {
  await mount.out('mkdir -p of1000; chown 1000 of1000; echo x > of1000/f; chmod 666 of1000/f')
  const refused = { status: 1, problems: /PermissionError/ }
  for (const code of [
    'open("of1000/f")',
    'os.listdir("of1000")',
    'open("of1000/new", "w")',
    'os.chmod("of1000/f", 0o777)',
    'os.rename("of1000/f", "of1000/g")',
    'os.unlink("of1000/f")',
    'os.stat("of1000/unseen")',
    'os.getxattr("of1000/f", "user.x")',
  ]) {
    t.match(await mount.sh(asFileServer(code)), refused, code)
  }
  t.equal(await mount.out('ls of1000; cat of1000/f'), 'f\nx')
})

t.test('where the kernel checks, root without capabilities is bound by modes', async (t) => {
  for (const word of ['default_permissions', 'allow_other', 'acl']) {
    const other = await mounts.start(word.replaceAll('_', '-'), '-o', word)
    t.match(optionsOf(other.mountpoint), /default_permissions/, word)
    await other.out('rm -rf s; mkdir s; chown 1000 s; chmod 700 s')
    t.match(await other.sh(`${withoutCapabilities} ls s`), { status: 2 }, word)
    t.match(await other.sh(`${withoutCapabilities} touch s/x`), { status: 1 }, word)
    t.equal(await other.end(), 0)
  }
})
