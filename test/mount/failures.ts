/** Tests of servers that die, freeze and come back under a mount in use. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')

/** Runs `action` while these servers do not answer. */
async function without(indexes: readonly number[], action: () => Promise<void>): Promise<void> {
  for (const index of indexes) servers.signal(index, 'SIGSTOP')
  try {
    await action()
  } finally {
    for (const index of indexes) servers.signal(index, 'SIGCONT')
    await mount.out('until touch probe 2>/dev/null; do sleep 0.1; done')
    // They come back one by one: all of them are there when a listing has no suffix.
    await mount.out('while ls | grep -q "incomplete]$"; do sleep 0.1; done')
  }
}

/** Makes the mount notice which servers do not answer: df asks all of them, unless it ran just before. */
async function noticed(): Promise<void> {
  await sleep(limits.cacheLifeMs + 100)
  await mount.out('df . > /dev/null')
}

function recovery(): string {
  const states = mounts.path('state/dfs')
  return join(states, readdirSync(states).find((name) => name.startsWith('mnt-')) ?? '', 'recovery')
}

/** Returns the names of complete files in the recovery folder. */
function kept(): string[] {
  if (!existsSync(recovery())) return []
  return readdirSync(recovery()).filter((name) => !name.endsWith('.part'))
}

async function fails(t: Test, script: string, with_: RegExp): Promise<void> {
  const { status, problems } = await mount.sh(script)
  t.not(status, 0, script)
  t.match(problems, with_)
}

t.test('one dead server changes nothing', async (t) => {
  await mount.out(`head -c 40M /dev/urandom > ${mounts.path('big')}; echo before > f`)
  const copying = mount.out(`cp ${mounts.path('big')} big`)
  await sleep(100)
  await servers.kill(1)
  await copying
  const script = `cmp big ${mounts.path('big')}; cat f; echo after >> f; mkdir d; mv f d; cat d/f; rm -r d; ls`
  t.equal(await mount.out(script), 'before\nbefore\nafter\nbig')
  await servers.start(1)
  await until(() => mount.said.join('').includes('DFS2 is up'))
})

t.test('with two opposite servers away everything can be read and nothing written', async (t) => {
  await mount.out('echo content > f')
  await without([0, 2], async () => {
    await noticed()
    await fails(t, 'echo x > g', /Read-only file system/)
    t.equal(await mount.out('cat f; ls'), 'content\nbig\nf')
    await fails(t, 'mv f g', /Read-only file system/)
    await fails(t, 'rm f', /Read-only file system/)
    await fails(t, 'echo x >> f', /Read-only file system/)
  })
  t.equal(await mount.out('echo more >> f; cat f'), 'content\nmore')
})

t.test('with two neighbours away files are incomplete, and say so', async (t) => {
  await mount.out('echo content > f; mkdir d; echo 3 > /proc/sys/vm/drop_caches')
  await without([0, 1], async () => {
    await mount.out('until ls | grep -q incomplete; do sleep 0.1; done')
    t.equal(await mount.out('ls | grep -c "f .incomplete]$"; ls -d d'), '1\nd')
    t.equal(await mount.out('stat -c %s "f [incomplete]"; stat -c %s f'), '8\n8')
  })
  t.equal(await mount.out('ls -d f; cat f'), 'f\ncontent')
})

t.test('a close says that the data was not stored, and it is kept as a file', async (t) => {
  const script = `const fs = require('node:fs')
    const [written, frozen] = process.argv.slice(1)
    const file = fs.openSync('lost', 'w')
    fs.writeSync(file, 'typed\\n')
    fs.writeFileSync(written, '')
    const outcome = (call) => { try { call(file); return 'none' } catch ({ code }) { return code } }
    const poll = setInterval(() => {
      if (!fs.existsSync(frozen)) return
      clearInterval(poll)
      console.log(outcome(fs.fsyncSync), outcome(fs.closeSync))
    }, 20)`
  const written = mounts.path('written')
  const frozen = mounts.path('frozen')
  const writing = mount.node(script, written, frozen)
  await until(() => existsSync(written))
  await without([1, 3], async () => {
    writeFileSync(frozen, '')
    t.match(await writing, /^(EIO|EROFS) EROFS$/, 'fsync and close')
    await until(() => kept().length === 1)
  })
  const [name] = kept()
  t.match(name, /^lost\..*Z$/)
  t.equal(readFileSync(join(recovery(), name ?? ''), 'utf8'), 'typed\n')
  t.match(mount.said.join(''), `is kept in ${recovery()}`)
  // Shells do not look at what a close says.
  await fails(t, 'sync lost', /Read-only file system/)
  await mount.out('sync lost; echo again > lost; sync lost')
  t.equal(await mount.out('cat lost'), 'again')
})

t.test('data that could not be stored is not read afterwards, not in part either', async (t) => {
  const bytes = 96_000
  await mount.out(`head -c ${bytes} /dev/zero | tr '\\0' a > same`)
  const before = kept().length
  const script = `const fs = require('node:fs')
    const [written, frozen] = process.argv.slice(1)
    const file = fs.openSync('same', 'r+')
    fs.writeSync(file, 'b'.repeat(${bytes}))
    fs.writeFileSync(written, '')
    const poll = setInterval(() => {
      if (!fs.existsSync(frozen)) return
      clearInterval(poll)
      try { fs.closeSync(file); console.log('none') } catch ({ code }) { console.log(code) }
    }, 20)`
  const written = mounts.path('written same')
  const frozen = mounts.path('frozen same')
  const writing = mount.node(script, written, frozen)
  await until(() => existsSync(written))
  await without([1, 3], async () => {
    await noticed()
    writeFileSync(frozen, '')
    t.match(await writing, /^(EIO|EROFS)$/)
    await until(() => kept().length > before)
  })
  t.equal(await mount.out('tr -d a < same | wc -c; stat -c %s same'), `0\n${bytes}`)
})

t.test('a write is refused when too few servers are known to be there to store it', async (t) => {
  const frozen = mounts.path('known')
  const before = kept()
  await mount.out('echo before > open')
  const writing = mount.sh(`exec 3>> open; touch ${mounts.path('opened')}
    while [ ! -e ${frozen} ]; do sleep 0.05; done; env echo typed >&3`)
  await until(() => existsSync(mounts.path('opened')))
  await without([1, 3], async () => {
    await noticed()
    writeFileSync(frozen, '')
    const { status, problems } = await writing
    t.not(status, 0)
    t.match(problems, /Read-only/)
  })
  t.equal(await mount.out('cat open'), 'before')
  t.same(kept(), before, 'what was refused is not kept')
})
