/** Tests of what the kernel keeps of a mount that is alone, and of its end when another client comes. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(120_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.startWith({ DEBUG: 'dfs:fuse' }, 'a')

/** Returns how often the kernel has asked for each of these operations while `script` ran. */
async function asked(script: string, ...operations: readonly string[]): Promise<readonly number[]> {
  const from = mount.said.length
  await mount.out(script)
  await sleep(200)
  const lines = mount.said.slice(from).join('').split('\n')
  return operations.map(
    (operation) => lines.filter((line) => line.includes(` ${operation} `)).length,
  )
}

/**
 * Returns how often the kernel has asked when `script` ran again, a while later. On a machine that is busy the lease runs
 * out at times, and then the kernel is right to ask: such a time is tried again.
 */
async function askedAgain(script: string, ...operations: readonly string[]): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < 6 && least > 0; attempt += 1) {
    await mount.out(script)
    await sleep(limits.kernelCacheMs + 500)
    const counts = await asked(script, ...operations)
    least = Math.min(
      least,
      counts.reduce((sum, count) => sum + count, 0),
    )
  }
  return least
}

t.test('a tree that was walked is walked again without a question but for the opens', async (t) => {
  await mount.out('for i in $(seq 10); do mkdir d$i; touch d$i/a d$i/b; done; ls -lR')
  const all = ['lookup', 'getattr', 'readdirplus', 'readdir'] as const
  t.equal(await askedAgain('ls -lR; find . -newer d1', ...all), 0)
})

t.test(
  'a tree that was searched without a look at its files is searched again as quietly',
  async (t) => {
    await mount.out(
      'mkdir s; for i in $(seq 10); do mkdir s/d$i; touch s/d$i/a; done; find s; find s',
    )
    t.equal(await askedAgain('find s', 'lookup', 'readdirplus', 'readdir'), 0)
  },
)

t.test('what is changed here is seen at once', async (t) => {
  const script = `ls -l d1; touch d1/new; ls d1; rm d1/a; ls d1; mv d1/b d1/c; ls d1; mkdir d1/sub; ls d1
    rmdir d1/sub; ls d1; mv d1/c d2/c; ls d1 d2; chmod 600 d2/c; stat -c %a d2/c; ln d2/c d1/link; ls d1
    stat -c %h d2/c; rm d1/link; stat -c %h d2/c; echo more >> d2/c; stat -c %s d2/c; truncate -s 0 d2/c; stat -c %s d2/c`
  const lists = (await mount.out(script)).split('\n').slice(3).join(' ')
  t.equal(lists, 'a b new b new c new c new sub c new d1: new  d2: a b c 600 link new 2 1 5 0')
})

t.test('what another mount has changed is seen when that mount has its answer', async (t) => {
  await mount.out(
    'mkdir e; echo old > e/f; echo old > e/g; mkdir e/sub; chmod 644 e/f; ls -lR e; [ ! -e e/new ]',
  )
  await sleep(limits.kernelCacheMs + 500)
  await mount.out('ls -lR e; [ ! -e e/new ]')
  const other = await mounts.start('b')
  const both = { A: mount.mountpoint, B: other.mountpoint }
  t.equal(
    await mount.out(
      `chmod 600 $B/e/f; touch $B/e/new; rm $B/e/g; mv $B/e/sub $B/e/moved
      ls -A $A/e | tr '\\n' ' '; [ -e $A/e/new ] || echo absent; [ -e $A/e/g ] && echo there
      [ -d $A/e/sub ] && echo unmoved; stat -c %a $A/e/f
      echo newer > $B/e/f2; mv $B/e/f2 $B/e/f; cat $A/e/f; stat -c %s $A/e/f`,
      both,
    ),
    'f moved new 600\nnewer\n6',
  )
  await other.close()
})

t.test('what was changed after the lease had run out unused is seen as well', async (t) => {
  await mount.out('rm -rf h; mkdir h; echo 1 > h/f; sync h')
  // The other mount has just ended: the first lease after it is asked for by the next use.
  await sleep(1_500)
  t.equal(await askedAgain('ls -l h', 'readdirplus'), 0, 'the kernel has kept it')
  await sleep(limits.leaseIdleMs + limits.leaseMs * 2)
  const other = await mounts.start('c')
  const both = { A: mount.mountpoint, B: other.mountpoint }
  t.equal(
    await mount.out('chmod 600 $B/h/f; touch $B/h/new; ls $A/h; stat -c %a $A/h/f', both),
    'f\nnew\n600',
  )
  await other.close()
})
