/** A mount shows which files have lost data for good, reads what is left of them, and goes on. */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import { workedMsOf } from '../fixtures/server-process.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

t.setTimeout(240_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')
const MiB = 1024 * 1024

const said = (what: string): string[] =>
  mount.said
    .join('')
    .split('\n')
    .filter((line) => line.includes(what))

t.test('a file that lost data is listed as incomplete, and the others are not', async (t) => {
  await mount.out('mkdir d; head -c 8M /dev/urandom > d/big; echo small > small; sync')
  // Two neighbours lose what they have in files; what is small rests in their indexes.
  for (const server of [1, 2]) {
    const pieces = join(servers.folders[server] ?? '', 'alice', 'pieces')
    for (const name of readdirSync(pieces, { recursive: true, encoding: 'utf8' })) {
      if (name.includes('.')) rmSync(join(pieces, name))
    }
  }
  await mount.out('sleep 1; find d > /dev/null')
  // Past what the kernel has of it.
  const read = 'dd if=d/big of=/dev/null bs=1M iflag=direct'
  t.not((await mount.sh(read)).status, 0)
  await until(() => said('lost data for good').length > 0)
  t.match(said('lost data for good'), [
    /"\/d\/big" has lost data for good, no server has bytes \d+ to \d+/,
  ])
  t.equal(await mount.out('ls d'), 'big [incomplete]')
  t.equal(await mount.out('ls'), 'd\nsmall')
  t.equal(await mount.out("stat -c %s 'd/big [incomplete]'"), `${8 * MiB}`, 'it has both names')
  t.equal(await mount.out('stat -c %s d/big'), `${8 * MiB}`)
  await mount.out("echo other > 'd/small'; ! test -e 'd/small [incomplete]'")
  const quarters = 'for i in 0 2 4 6; do dd if=d/big bs=1M skip=$i count=2 iflag=direct; done'
  const left = await mount.sh(`(${quarters}) 2>/dev/null | wc -c`)
  t.equal(left.out.trim(), `${6 * MiB}`, 'three of four pieces can be read')
})

t.test('nothing is said or tried again and again', async (t) => {
  const lines = mount.said.length
  const before = workedMsOf(mount.process)
  for (let turn = 0; turn < 5; turn += 1) {
    t.not((await mount.sh('dd if=d/big of=/dev/null bs=1M iflag=direct')).status, 0)
    await sleep(1000)
  }
  // A last copy that the reads above found missing may have come back meanwhile.
  const all = mount.said.slice(lines)
  t.equal(new Set(all.map((line) => line.slice(24))).size, all.length, 'nothing is said twice')
  const more = all.filter((line) => !line.includes('written again'))
  t.ok(more.length <= 1, more.join(''))
  t.equal(said('lost data for good').length, 1)
  t.comment(`${workedMsOf(mount.process) - before} ms of processor time in five seconds`)
})

t.test('what replaces the file is whole', async (t) => {
  await mount.out('echo new > d/new; mv d/new d/big; sync')
  t.equal(await mount.out('ls d; cat d/big'), 'big\nsmall\nnew')
})
