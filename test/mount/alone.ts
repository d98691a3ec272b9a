/** Tests of a mount that is alone: answers from its cache must be right when another client comes. */
import { resolve } from 'node:path'
import t from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(120_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')
const dfc = resolve(import.meta.dirname, '../../../bin/dfc')

t.test(
  'a name that was missing a moment ago is there once another client has put it',
  async (t) => {
    // A loop looks the name up all the time, so that the kernel has just cached that it is missing.
    const script = `echo content > ${mounts.path('file')}
    for i in 1 2 3 4 5; do
      sleep 1.5
      (while [ ! -e ${mounts.path('stop')}$i ]; do [ -e new$i ]; done) & looker=$!
      sleep 0.1
      ${dfc} put ${mounts.path('file')} /new$i; cat new$i || echo missing
      touch ${mounts.path('stop')}$i; wait $looker
    done`
    t.equal(await mount.out(script), 'content\n'.repeat(5).trimEnd())
  },
)

t.test('dfc does not copy a folder of the mount into itself without end', async (t) => {
  const script = `mkdir -p tree/sub; echo x >tree/sub/file; sync
    ${dfc} put -r tree /tree/up; echo $?; ${dfc} get -r tree tree/down; echo $?
    ${dfc} sync --up . / 2>/dev/null; echo $?; find tree -name file | sort; rm -r tree`
  t.equal(
    await mount.out(`{ ${script}; } 2>&1`),
    [
      'dfc: tree/up: is the target itself, which is in what is copied; left out',
      '1',
      'dfc: tree/down: is the target itself, which is in what is copied; left out',
      '1',
      '0',
      'tree/down/sub/file',
      'tree/down/up/sub/file',
      'tree/sub/file',
      'tree/up/sub/file',
    ].join('\n'),
  )
})

t.test(
  'a mount of another account is no target, though its root has the same number',
  async (t) => {
    const others = new TestMounts(t, servers.config('bob'))
    const environment = { XDG_STATE_HOME: mounts.path('state') }
    const bob = await others.startWith(environment, 'source/bob')
    await bob.out('echo of bob > note; sync')
    const script = `${dfc} sync --up ${others.path('source')} / 2>/dev/null; echo $?; cat bob/note; rm -r bob`
    t.equal(await mount.out(`{ ${script}; } 2>&1`), '0\nof bob')
  },
)

t.test('a name that was missing is there once it is made here', async (t) => {
  const script = `for i in $(seq 1 50); do
      [ -e f$i ] && echo early; touch f$i; [ -e f$i ] || echo missing
      [ -e d$i ] && echo early; mkdir d$i; [ -d d$i ] || echo missing
      [ -e l$i ] && echo early; ln f$i l$i; [ -e l$i ] || echo missing
      [ -e m$i ] && echo early; mv f$i m$i; [ -e m$i ] || echo missing
    done`
  t.equal(await mount.out(script), '')
})
