/** Tests of atimes: those of ext4 with relatime and lazytime, and none with -o noatime. */
import t from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')
const atime = (path: string): Promise<string> => mount.out(`stat -c %x "${path}"`)

t.test('a read file gets an atime, once until it is changed again', async (t) => {
  await mount.out('mkdir d; echo 1 > d/f; ln -s f d/l; sync -f .; sleep 0.05')
  for (const [path, read] of [
    ['d/f', 'cat d/f'],
    ['d/l', 'readlink d/l'],
    ['d', 'ls d'],
  ] as const) {
    const before = await atime(path)
    await mount.out(`${read} > /dev/null`)
    const once = await atime(path)
    t.ok(once > before, `${path}: ${once} is later than ${before}`)
    await mount.out(`sleep 0.02; ${read} > /dev/null`)
    t.equal(await atime(path), once, `${path}: not again`)
  }
  const before = await atime('d/f')
  await mount.out('echo 2 >> d/f; sleep 0.05; cat d/f > /dev/null')
  t.ok((await atime('d/f')) > before, 'read after it was changed')
})

t.test('an atime that was set stays, and O_NOATIME changes none', async (t) => {
  await mount.out('echo 1 > g; touch -a -d 2001-01-01T00:00:00Z g')
  t.match(await atime('g'), /^2001-01-01/)
  await mount.out('dd if=g iflag=noatime of=/dev/null status=none')
  t.match(await atime('g'), /^2001-01-01/)
  await mount.out('dd if=g of=/dev/null status=none')
  t.notMatch(await atime('g'), /^2001-01-01/)
  await mount.out('touch -a -d 2002-01-01T00:00:00Z g')
  t.match(await atime('g'), /^2002-01-01/, 'also after it was read')
})

t.test('an atime is stored with the next change, and not by itself', async (t) => {
  await mount.out('echo 1 > h; touch -a -d 2001-01-01T00:00:00Z h; cat h > /dev/null; sync -f .')
  const other = await mounts.start('other')
  t.match(await other.out('stat -c %x h'), /^2001-01-01/, 'a read alone stores nothing')
  await mount.out('chmod 600 h')
  const read = await atime('h')
  t.notMatch(read, /^2001/)
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  t.equal(await other.out('stat -c %x h'), read)
})

t.test('with -o noatime reading changes nothing', async (t) => {
  const still = await mounts.start('still', '-o', 'noatime')
  await still.out('echo 1 > i; touch -a -d 2001-01-01T00:00:00Z i; cat i; ls > /dev/null')
  t.match(await still.out('stat -c %x i'), /^2001-01-01/)
})
