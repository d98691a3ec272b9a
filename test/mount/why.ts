/** A mount tells why: the attribute `user.dfs.why` and `dfc why`, of a file and of the mount as a whole. */
import { readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import type { Outcome } from '../fixtures/outcome.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(120_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')
const program = resolve(import.meta.dirname, '../../../bin/dfc')

const python = (script: string): Promise<Outcome> =>
  mount.sh('exec python3 -c "$SCRIPT"', { SCRIPT: `import os, sys\n${script}` })
/** The attribute; undefined when there is none. */
async function attribute(path: string): Promise<string | undefined> {
  const { status, out, problems } = await python(
    `sys.stdout.write(os.getxattr(${JSON.stringify(path)}, "user.dfs.why").decode())`,
  )
  if (status === 0) return out
  if (problems.includes('[Errno 61]')) return undefined
  throw new Error(problems)
}
const dfc = (words: string): Promise<Outcome> => mount.sh(`"$DFC" ${words}`, { DFC: program })

t.test('of what is whole there is nothing to tell', async (t) => {
  await mount.out('mkdir d; head -c 8M /dev/urandom > d/big; echo small > small; sync')
  for (const path of ['.', 'd', 'd/big', 'small']) t.equal(await attribute(path), undefined, path)
  const nothing = { status: 0, out: 'Nothing is wrong with it, and no mount remembers a failure\n' }
  t.match(await dfc('why d/big'), nothing)
  t.match(await dfc(`why ${mount.mountpoint}/d/big`), nothing)
  t.match(await dfc('why nowhere'), { status: 1, problems: /nowhere|No such file/ })
})

t.test('it cannot be set or removed, and is not listed', async (t) => {
  for (const call of [
    'os.setxattr("small", "user.dfs.why", b"x")',
    'os.removexattr("small", "user.dfs.why")',
    'os.setxattr(".", "user.dfs.why", b"x")',
  ]) {
    t.match(await python(call), { status: 1, problems: /PermissionError: \[Errno 1\]/ }, call)
  }
  await python('os.setxattr("small", "user.other", b"x")')
  t.match(await python('print(os.listxattr("small"))'), { out: "['user.other']\n" })
})

t.test('while two neighbours are down it says what is missing, and what failed', async (t) => {
  await servers.kill(1, 2)
  await mount.sh('cat small > /dev/null; sleep 0.5')
  t.not((await mount.sh('dd if=d/big of=/dev/null bs=1M iflag=direct')).status, 0)
  t.not((await mount.sh('echo x > new')).status, 0)
  const text = (await attribute('d/big')) ?? ''
  t.match(
    text,
    /^piece P\d of segment 1 \(bytes \d+ to \d+ of the file\) cannot be read now: DFS[23] is down \(.*\), DFS[23] is down/m,
  )
  t.match(
    text,
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ reading "big" failed: .* \(EIO\).*; not there then: DFS2 \(/m,
  )
  const root = (await attribute('.')) ?? ''
  t.match(root, /^nothing can be changed now, as three servers must agree: DFS2 \(.*\), DFS3 \(/)
  t.match(root, /changing names in "\/" failed: Read-only until a third server is back \(EROFS\)/)
  t.match(root, /reading "big" failed/)

  const viaPath = await dfc(`why ${mount.mountpoint}/d/big`)
  t.match(viaPath, { status: 1, out: /cannot be read now: DFS2 is down/ })
  t.match(viaPath.out, /reading "big" failed/)
  t.match(await dfc(`why ${mount.mountpoint}`), { status: 1, out: /nothing can be changed now/ })
  const viaName = await dfc('why d/big')
  t.match(viaName, { status: 1, out: /cannot be read now: DFS2 is down/ })
  t.match(viaName.out, /reading "big" failed/)
  const json = JSON.parse((await dfc('why --json d/big')).out)
  t.match(json.failures, [
    { what: 'reading', errno: 'EIO', name: 'big', away: [{ name: 'DFS2' }, {}] },
  ])
})

t.test('what failed again is one line, with how often', async (t) => {
  for (let i = 0; i < 3; i += 1) await mount.sh('echo x > new')
  const lines = ((await attribute('.')) ?? '').split('\n')
  const readOnly = lines.filter((line) => line.includes('Read-only until'))
  t.equal(readOnly.length, 1)
  t.match(readOnly[0], / \([45] times since /)
})

t.test('content that could not be stored at a close is told with its place', async (t) => {
  await Promise.all([servers.start(1), servers.start(2)])
  await mount.out('until echo x > d/kept 2>/dev/null; do sleep 0.1; done; sync')
  const script = `
    const fs = require('node:fs')
    const file = fs.openSync('d/kept', 'r+')
    fs.writeSync(file, Buffer.alloc(300000, 1))
    console.log('written')
    fs.readSync(0, Buffer.alloc(1))
  `
  const writing = mount.sh('{ sleep 4; echo; } | "$NODE" -e "$SCRIPT"', {
    NODE: process.execPath,
    SCRIPT: script,
  })
  await new Promise((done) => setTimeout(done, 1500))
  await servers.kill(1, 2)
  await writing
  let text = ''
  for (let turn = 0; turn < 60 && !text.includes('is kept in'); turn += 1) {
    await new Promise((done) => setTimeout(done, 250))
    text = (await attribute('d/kept')) ?? ''
  }
  t.match(text, /storing "kept" failed: .*; what was written is kept in \/.*\/recovery\//)
  await Promise.all([servers.start(1), servers.start(2)])
  await mount.out('until echo y > d/kept 2>/dev/null; do sleep 0.1; done; sync')
  t.equal(await attribute('d/kept'), undefined, 'it is stored again')
})

t.test('data that is lost for good is told as such', async (t) => {
  await mount.out('"$DFC" status --wait 60s | grep "up and complete"', { DFC: program })
  for (const server of [1, 2]) {
    const pieces = join(servers.folders[server] ?? '', 'alice', 'pieces')
    for (const name of readdirSync(pieces, { recursive: true, encoding: 'utf8' })) {
      if (name.includes('.')) rmSync(join(pieces, name))
    }
  }
  await mount.sh('sleep 1; dd if=d/big of=/dev/null bs=1M iflag=direct')
  let text = ''
  for (let turn = 0; turn < 60 && !text.includes('lost for good'); turn += 1) {
    await new Promise((done) => setTimeout(done, 250))
    text = (await attribute('d/big')) ?? ''
  }
  t.match(
    text,
    /^piece P\d of segment 1 \(bytes \d+ to \d+ of the file\) is lost for good: no server has a good copy$/m,
  )
})

t.test('a mount of somebody else is not asked', async (t) => {
  const { status, problems } = await mount.sh('XDG_STATE_HOME=/nowhere "$DFC" why "$PWD"', {
    DFC: program,
  })
  t.match({ status, problems }, { status: 1, problems: /only the user who mounted it may ask/ })
})
