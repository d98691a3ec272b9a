/** Files that a mount keeps of what it could not store: whole, or not there. */
import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../../src/clock.js'
import type { Client } from '../../../src/dfc/client.js'
import { SalvagedContent } from '../../../src/dfc/content/salvaged-content.js'
import { DfsError } from '../../../src/errors.js'
import { LastFailures } from '../../../src/fuse/vfs/last-failures.js'
import { RecoveryFolder } from '../../../src/fuse/vfs/recovery-folder.js'
import { redirectNotices } from '../../../src/log.js'
import { openClient, putFile } from '../../fixtures/library.js'
import { temporaryFolder } from '../../fixtures/mortal.js'
import { Seeded } from '../../fixtures/seeded.js'
import { startServers, type TestServers, until } from '../../fixtures/servers.js'
import { fillDisk, mountSmallDisk, noSmallDisk } from '../../fixtures/small-disk.js'

t.setTimeout(120_000)
const holeBytes = 3_000_000

/** Reads a hole, which needs no server, and the bytes of a file behind it. */
async function contentBehindHole(
  t: Test,
  servers: TestServers,
  bytes: Buffer,
): Promise<{ readonly client: Client; readonly content: () => SalvagedContent }> {
  const { inode } = await putFile(await openClient(t, servers), 'file', bytes)
  const client = await openClient(t, servers)
  const extents = inode.extents.map((extent) => ({ ...extent, at: extent.at + holeBytes }))
  const whole = { size: holeBytes + bytes.length, segments: inode.segments, extents }
  return { client, content: () => new SalvagedContent(client.content, whole, () => false) }
}

function recoveryIn(t: Test, path: string): (content: SalvagedContent) => Promise<void> {
  redirectNotices(() => undefined)
  t.teardown(() => redirectNotices((line) => process.stderr.write(`${line}\n`)))
  const failures = new LastFailures(systemClock)
  failures.connect({ nameOf: (ino) => `f${ino}`, away: () => [] })
  const recovery = new RecoveryFolder(path, systemClock, failures)
  const file = { ino: 7, name: 'lost/of them', why: new DfsError('stale') }
  return (content) => recovery.keepContent(file, content)
}

t.test('an attempt that fails for lack of a server leaves nothing', async (t) => {
  const servers = await startServers(t)
  const bytes = new Seeded(1).bytes(300_000)
  const { client, content } = await contentBehindHole(t, servers, bytes)
  const folder = join(temporaryFolder('dfs-recovery-'), 'recovery')
  const keep = recoveryIn(t, folder)
  await servers.kill(0, 1)
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await t.rejects(keep(content()), { code: 'incomplete' })
  }
  t.same(readdirSync(folder), [])
  await servers.start(0)
  await servers.start(1)
  await until(() => client.cluster.voters.length === 4)
  await keep(content())
  const [name = '', ...others] = readdirSync(folder)
  t.same(others, [])
  t.match(name, /^lost_of_them\.7\..*Z$/)
  t.ok(readFileSync(join(folder, name)).equals(Buffer.concat([Buffer.alloc(holeBytes), bytes])))
})

t.test('nor does one for which the disk is too full', { skip: noSmallDisk }, async (t) => {
  const servers = await startServers(t)
  const { content } = await contentBehindHole(t, servers, new Seeded(2).bytes(300_000))
  const disk = temporaryFolder('dfs-recovery-')
  t.teardown(mountSmallDisk(disk, '5m'))
  const folder = join(disk, 'recovery')
  const keep = recoveryIn(t, folder)
  const filling = join(disk, 'filling')
  fillDisk(filling)
  truncateSync(filling, 3_500_000)
  await t.rejects(keep(content()), { code: 'ENOSPC' })
  t.same(readdirSync(folder), [])
  truncateSync(filling, 0)
  await keep(content())
  t.equal(readdirSync(folder).length, 1)
})
