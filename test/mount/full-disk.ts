/**
 * Servers whose disks are full: one costs the others nothing; with two what does not fit is refused, and nothing
 * that was there is harmed.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { UserOfDfc } from '../fixtures/client.js'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses, type TestServers, until } from '../fixtures/servers.js'
import { fillDisk, mountSmallDisk, noSmallDisk } from '../fixtures/small-disk.js'

t.setTimeout(240_000)

/** Moves the folders of these servers to disks of 24 MiB; what they have comes along. */
async function shrinkDisks(
  servers: TestServers,
  which: readonly number[],
): Promise<() => Promise<void>> {
  const takenOff: (() => void)[] = []
  for (const server of which) {
    const folder = servers.folders[server] ?? ''
    // The small disk begins with what the server has: an empty one would have to be filled first.
    await servers.kill(server)
    execFileSync('mv', [folder, `${folder}.before`])
    execFileSync('mkdir', [folder])
    takenOff.push(mountSmallDisk(folder, '24m'))
    execFileSync('cp', ['-a', `${folder}.before/.`, folder])
    await servers.start(server)
  }
  return async () => {
    // The fixtures are removed before what a teardown does.
    for (const server of which) await servers.kill(server)
    for (const takeOff of takenOff) takeOff()
  }
}

t.test('a full disk on one server costs nothing', { skip: noSmallDisk }, async (t) => {
  const servers = await startServerProcesses(t)
  const takeOff = await shrinkDisks(servers, [1])
  try {
    const mounts = new TestMounts(t, servers.config())
    const mount = await mounts.start('mnt')
    await mount.out('head -c 64M /dev/urandom > ../new; cp ../new file; cmp ../new file')
    const said = mount.said.join('').match(/DFS2 has no space left/g)
    t.equal(said?.length, 1, 'it is said once')
    await mount.out('cp ../new other; sync; cmp ../new other')
  } finally {
    await takeOff()
  }
})

t.test(
  'while a disk is full, no other server may be taken down',
  {
    skip: noSmallDisk,
  },
  async (t) => {
    const servers = await startServerProcesses(t)
    const dfc = new UserOfDfc(join(t.testdirName, 'user'), servers.config())
    dfc.write('f', 'f')
    t.match(await dfc.dfc('put', 'f'), { status: 0 })
    const takeOff = await shrinkDisks(servers, [1])
    try {
      await dfc.dfc('heal')
      t.match(await dfc.dfc('status'), { status: 0 })
      t.match(await dfc.dfc('what-if', '--down', 'DFS3'), { out: /could be changed as now/ })
      const filler = join(servers.folders[1] ?? '', 'filler')
      fillDisk(filler)
      t.match(await dfc.dfc('status'), {
        status: 1,
        out: /^DFS2 has no space left\n(.*\n)*All four servers are up and complete, but DFS2 has no space left\. Do not take another/m,
      })
      const { mayTakeAnotherDown, servers: said } = JSON.parse(
        (await dfc.dfc('status', '--json')).out,
      )
      t.match([mayTakeAnotherDown, said[1].remarks], [false, ['DFS2 has no space left']])
      t.match(await dfc.dfc('what-if', '--down', 'DFS3'), {
        status: 0,
        out: /\nNothing could be changed: 3 servers must agree, and DFS2 has no space left\.\n/,
      })
      t.match(await dfc.dfc('what-if', '--down', 'DFS2'), { out: /could be changed as now/ })
      const mounts = new TestMounts(t, servers.config())
      const mount = await mounts.start('mnt')
      await mount.out('head -c 1M /dev/urandom > g; sync')
      await until(() => /repair .*: No space left on DFS2/.test(mount.said.join('')))
      t.match(await dfc.dfc('status'), {
        status: 1,
        out: /not complete: (what is missing is not known: No space left on DFS2|.*missing)/,
      })
      t.equal(mount.said.join('').match(/repair .*: No space left/g)?.length, 1, 'said once')
      execFileSync('rm', [filler])
      t.match(await dfc.dfc('status', '--wait', '40s'), { status: 0 })
    } finally {
      await takeOff()
    }
  },
)

t.test('full disks on two servers', { skip: noSmallDisk }, async (t) => {
  const servers = await startServerProcesses(t)
  const takeOff = await shrinkDisks(servers, [1, 2])
  try {
    const mounts = new TestMounts(t, servers.config())
    const mount = await mounts.start('mnt')
    const source = mounts.path('source')
    await mount.out(`head -c 4M /dev/urandom > ${source}; cp ${source} file; touch -d @7 file`)

    await t.rejects(mount.out('head -c 64M /dev/urandom > ../new; cp ../new file'), {
      message: /No space left on device/,
    })
    // The last close is over for the program before what it could not store is kept.
    const told = /"file" could not be stored: No space left on DFS[23]/
    await until(() => told.test(mount.said.join('')))
    t.equal(await mount.out(`cmp file ${source} && stat -c %Y file`), '7', 'the old content')
    const states = mounts.path('state/dfs')
    const [state = ''] = readdirSync(states).filter((name) => name !== 'journals')
    t.match(readdirSync(join(states, state, 'recovery')), [/^file\./], 'what was typed is kept')

    t.equal(await mount.out('echo small > small; cat small'), 'small', 'what fits is stored')
    for (const server of [1, 2]) {
      execFileSync('mount', ['-o', 'remount,size=300m', servers.folders[server] ?? ''])
    }
    await mount.out('cp ../new file; cmp ../new file')
  } finally {
    await takeOff()
  }
})
