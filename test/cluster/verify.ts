import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { rootIno } from '../../src/wire/records.js'
import { UserOfDfc } from '../fixtures/client.js'
import { openClient } from '../fixtures/library.js'
import { startServerProcesses, type TestServers } from '../fixtures/servers.js'

/** Flips a bit in every file of the server's pieces whose name ends so; returns how many. */
function rot(servers: TestServers, index: number, ending: string): number {
  const pieces = join(servers.folders[index] ?? '', 'alice', 'pieces')
  const files = readdirSync(pieces, { recursive: true, encoding: 'utf8' })
  const damaged = files.filter((file) => file.endsWith(ending))
  for (const file of damaged) {
    const path = join(pieces, file)
    const bytes = readFileSync(path)
    bytes[0] = (bytes[0] ?? 0) ^ 0x80
    writeFileSync(path, bytes)
  }
  return damaged.length
}

t.test('verify finds what is wrong, has it rewritten, and names what is lost', async (t) => {
  const servers = await startServerProcesses(t)
  const user = new UserOfDfc(join(t.testdirName, 'home'), servers.config())
  user.write('file', Buffer.alloc(400_000, 7))
  t.equal((await user.dfc('put', 'file')).status, 0)
  const clean = await user.dfc('verify')
  t.equal(clean.status, 0)
  t.match(clean.out, /^1 segments verified.*\n^Everything is as it should be$/m)

  const holders = [0, 1, 2, 3].filter((index) => rot(servers, index, '.3') > 0)
  t.equal(holders.length, 2, 'a piece has two copies')
  // One of the two is made good again by flipping the same bit back.
  rot(servers, holders[0] ?? 0, '.3')
  const found = await user.dfc('verify')
  t.equal(found.status, 1)
  t.match(found.out, /^1 copies of pieces are corrupt or missing$/m)
  t.match(found.out, /^Repaired: 0 left$/m)
  t.equal((await user.dfc('verify')).status, 0)

  for (const index of holders) rot(servers, index, '.3')
  const lost = await user.dfc('verify')
  t.equal(lost.status, 1)
  t.match(lost.out, /^lost: \/file: bytes 200000 to 299999$/m)
  t.match(lost.out, /^Repaired as far as possible: 1 left$/m)
  t.equal((await user.dfc('get', 'file', 'copy')).status, 1)

  // The rest stays readable.
  const client = await openClient(t, servers)
  const { inode } = await client.namespace.names.lookup(rootIno, 'file')
  t.same(await client.content.read(inode, 0, 200_000), Buffer.alloc(200_000, 7))
  t.same(await client.content.read(inode, 300_000, 100_000), Buffer.alloc(100_000, 7))
  const refused = await client.content.read(inode, 199_999, 2).catch((error: unknown) => error)
  t.match(refused, { errno: constants.errno.EIO })
})
