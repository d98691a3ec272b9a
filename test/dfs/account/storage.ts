import { cpSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checksumsOf } from '../../../src/wire/checksum.js'
import { beginAccount } from '../../fixtures/bystander.js'
import { emptyTransaction, startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'
import { fillDisk, mountSmallDisk, noSmallDisk } from '../../fixtures/small-disk.js'

t.test(
  'the log of votes stays when the disk was too full to close the index',
  {
    skip: noSmallDisk,
  },
  async (t) => {
    const folder = t.testdir({ disk: {}, cut: {} })
    const [disk, cut] = [join(folder, 'disk'), join(folder, 'cut')]
    const takeOff = mountSmallDisk(disk, '8m')
    try {
      const { server, port } = await startServer(t, { folder: disk })
      const client = await RawClient.open(port)
      await beginAccount(client)
      const bytes = Buffer.alloc(1000, 'x')
      const segment = 'ab112233445566778899aabbccddeeff'
      const piece = { segment, piece: 1, length: bytes.length, checksums: checksumsOf(bytes) }
      const vote = await client.call('commitSynced', emptyTransaction([piece]), bytes)
      t.match(vote, { outcome: 'yes' })
      // What a power cut leaves of an index that is not synced again.
      cpSync(disk, cut, { recursive: true })
      t.match(await client.call('status', {}), { pieces: 1 }, 'now it is in the index')
      fillDisk(join(disk, 'filler'))
      await server.stop(0)

      const votes = join('alice', 'votes')
      t.ok(existsSync(join(disk, votes)))
      rmSync(join(cut, votes))
      cpSync(join(disk, votes), join(cut, votes))
      const again = await startServer(t, { folder: cut })
      const next = await RawClient.open(again.port)
      t.match(await next.call('status', {}), { pieces: 1, undecided: 1 })
    } finally {
      takeOff()
    }
  },
)

t.test('the log of votes goes with an orderly end', async (t) => {
  const folder = t.testdir({})
  const { server, port } = await startServer(t, { folder })
  const client = await RawClient.open(port)
  await beginAccount(client)
  t.match(await client.call('commit', emptyTransaction([]), Buffer.alloc(0)), { outcome: 'yes' })
  t.ok(existsSync(join(folder, 'alice', 'votes')))
  await server.stop(0)
  t.notOk(existsSync(join(folder, 'alice', 'votes')))
})
