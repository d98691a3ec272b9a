/**
 * Whether a Node can carry it all: four servers and a mount, files that are written and read, also when a server
 * is gone. `.ci/on-node` runs it, with the canaries of test/node-internals.ts, on the Nodes that are supported.
 */
import t from 'tap'
import { noMounts } from './fixtures/fuse-program.js'
import { TestMounts } from './fixtures/mount.js'
import { startServerProcesses } from './fixtures/servers.js'

t.setTimeout(120_000)
t.comment(`Node ${process.version}`)

t.test('a mount keeps its files when a server is killed', { skip: noMounts }, async (t) => {
  const servers = await startServerProcesses(t)
  const mounts = new TestMounts(t, servers.config())
  const mount = await mounts.start('mnt')
  await mount.out(`mkdir sub; head -c 8M /dev/urandom > ../large; cp ../large sub/large
    echo hello > small; ln -s small link; mv sub/large sub/moved; sync`)
  t.equal(await mount.out('cmp ../large sub/moved && cat link && readlink link'), 'hello\nsmall')
  await servers.kill(1)
  t.equal(await mount.out('cmp ../large sub/moved && cat small'), 'hello')
  await mount.out('echo more > new; sync')
  t.equal(await mount.end(), 0)
  const again = await mounts.start('again')
  t.equal(await again.out('cmp ../large sub/moved && cat small new'), 'hello\nmore')
})
