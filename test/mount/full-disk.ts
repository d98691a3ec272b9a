/** A server whose disk is full: what does not fit is refused, and nothing that was there is harmed. */
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses, until } from '../fixtures/servers.js'
import { mountSmallDisk, noSmallDisk } from '../fixtures/small-disk.js'

t.setTimeout(240_000)
t.test('a full disk on one server', { skip: noSmallDisk }, async (t) => {
  const servers = await startServerProcesses(t)
  const [, folder = ''] = servers.folders
  // The small disk begins with what the server has: an empty one would have to be filled first.
  await servers.kill(1)
  execFileSync('mv', [folder, `${folder}.before`])
  execFileSync('mkdir', [folder])
  const takeOff = mountSmallDisk(folder, '24m')
  try {
    execFileSync('cp', ['-a', `${folder}.before/.`, folder])
    await servers.start(1)
    const mounts = new TestMounts(t, servers.config())
    const mount = await mounts.start('mnt')
    const source = mounts.path('source')
    await mount.out(`head -c 4M /dev/urandom > ${source}; cp ${source} file; touch -d @7 file`)

    await t.rejects(mount.out('head -c 64M /dev/urandom > ../new; cp ../new file'), {
      message: /No space left on device/,
    })
    // The last close is over for the program before what it could not store is kept.
    const told = /"file" could not be stored: No space left on DFS2/
    await until(() => told.test(mount.said.join('')))
    t.equal(await mount.out(`cmp file ${source} && stat -c %Y file`), '7', 'the old content')
    const states = mounts.path('state/dfs')
    const [state = ''] = readdirSync(states)
    t.match(readdirSync(join(states, state, 'recovery')), [/^file\./], 'what was typed is kept')

    t.equal(await mount.out('echo small > small; cat small'), 'small', 'what fits is stored')
    execFileSync('mount', ['-o', 'remount,size=300m', folder])
    await mount.out('cp ../new file; cmp ../new file')
  } finally {
    // The fixtures are removed before what a teardown does.
    await servers.kill(1)
    takeOff()
  }
})
