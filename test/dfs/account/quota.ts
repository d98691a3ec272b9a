import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { limits } from '../../../src/limits.js'
import { checksumsOf } from '../../../src/wire/checksum.js'
import { versionOf } from '../../../src/wire/version.js'
import { beginAccount } from '../../fixtures/bystander.js'
import { emptyTransaction, startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'
import { Seeded } from '../../fixtures/seeded.js'
import { until } from '../../fixtures/servers.js'

const { blockBytes, smallPieceBytesMax } = limits
const random = new Seeded(31)
const newSegment = () => random.bytes(16).toString('hex')
const large = random.bytes(4 * blockBytes)
const small = random.bytes(smallPieceBytesMax)
const refused = { code: 'quota' }

/** A server on which the files of alice may take `quota.bytes`, and those of bob as much as there is. */
async function open(t: Test, folder = t.testdir({})) {
  const quota: { bytes: number | undefined } = { bytes: 4 * large.length }
  const quotaBytes = (user: string) => (user === 'alice' ? quota.bytes : undefined)
  const { port, server } = await startServer(t, { folder, quotaBytes })
  const client = await RawClient.open(port)
  await beginAccount(client)
  const free = async (): Promise<number | undefined> =>
    (await client.call('status', {})).quota?.freeBytes
  return { port, server, client, quota, folder, free }
}

/** Stores a piece, or the part of it up to `end`. */
function put(client: RawClient, segment: string, bytes: Buffer, end = bytes.length, piece = 1) {
  const some = bytes.subarray(0, end)
  const place = { segment, piece, pieceLength: bytes.length, offset: 0 }
  return client.call('putPiece', { ...place, checksums: checksumsOf(some) }, some)
}

t.test('stores half of the quota, and refuses more', async (t) => {
  const { client, port, free } = await open(t)
  t.match(await client.call('status', {}), {
    quota: { bytes: 2 * large.length, freeBytes: 2 * large.length },
  })
  const [first, second] = [newSegment(), newSegment()]
  await put(client, first, large)
  await put(client, second, large)
  t.equal(await free(), 0)
  await t.rejects(put(client, newSegment(), large), refused)
  await t.rejects(put(client, newSegment(), small), refused)
  await t.resolves(put(client, first, large), 'a piece that is here may be stored again')
  const bob = await RawClient.open(port, 'bob')
  t.equal((await bob.call('status', {})).quota, null)
  await t.resolves(put(bob, newSegment(), large))
  await client.call('dropPieces', { segment: first, pieces: 1 })
  t.equal(await free(), large.length)
  await t.resolves(put(client, newSegment(), large), 'what goes is given back')
})

t.test('counts what has only begun to arrive, until it is given up', async (t) => {
  const { client, port, free, server } = await open(t)
  const other = await RawClient.open(port)
  const segment = newSegment()
  await put(other, segment, large, blockBytes)
  t.equal(await free(), large.length)
  await put(client, newSegment(), large)
  await t.rejects(put(client, newSegment(), small), refused)
  await other.call('dropPieces', { segment, pieces: 1 })
  t.equal(await free(), large.length, 'what was begun is dropped like what is there')
  await put(other, newSegment(), large, blockBytes)
  t.equal(await free(), 0)
  other.close()
  await until(() => server.connections === 1)
  t.equal(await free(), large.length, 'it goes with its connection')
})

t.test(
  'counts pieces that come with commits, but for those of votes that were given',
  async (t) => {
    const { client, quota, free } = await open(t)
    quota.bytes = 4 * small.length
    const commitOf = (segment: string, count: number) => {
      const piece = { segment, piece: 1, length: small.length, checksums: checksumsOf(small) }
      const id = versionOf(Date.now(), count, '0badcafe')
      return { ...emptyTransaction([piece]), id }
    }
    const segments = [newSegment(), newSegment()]
    const given = segments.map(commitOf)
    for (const request of given) {
      t.match(await client.call('commit', request, small), { outcome: 'yes' })
    }
    await t.rejects(client.call('commit', commitOf(newSegment(), 7), small), refused)
    for (const request of given) {
      t.match(await client.call('commit', request, small), { outcome: 'yes' }, 'asked again')
    }
    t.equal(await free(), 0)
    const empty = { ...emptyTransaction([]), id: versionOf(Date.now(), 9, '0badcafe') }
    t.match(await client.call('commit', empty), { outcome: 'yes' }, 'names do not count')
  },
)

t.test('holds after a restart, and for the quota of now', async (t) => {
  const folder = t.testdir({})
  const first = await open(t, folder)
  await put(first.client, newSegment(), large)
  await first.server.stop()
  const { client, quota, free } = await open(t, folder)
  t.equal(await free(), large.length)
  quota.bytes = large.length
  t.equal(await free(), 0)
  await t.rejects(put(client, newSegment(), small), refused)
  quota.bytes = undefined
  t.equal((await client.call('status', {})).quota, null)
  await t.resolves(put(client, newSegment(), large))
})

t.test('pieces that were moved aside count as well', async (t) => {
  const folder = t.testdir({})
  const { client, free, server } = await open(t, folder)
  const segment = newSegment()
  await put(client, segment, large)
  const described = { id: segment, length: 4 * large.length, md5: '0'.repeat(32) }
  await client.call('reclaim', { segment: described, giveBack: 1 })
  t.match(await client.call('held', { segments: [segment] }), { held: [{ pieces: 0 }] })
  t.equal(await free(), large.length)
  await server.stop()
  const again = await open(t, folder)
  t.equal(await again.free(), large.length)
  await again.client.call('reclaim', { segment: described, giveBack: 0 })
  t.match(await again.client.call('held', { segments: [segment] }), { held: [{ pieces: 1 }] })
  t.equal(await again.free(), large.length)
  await again.server.stop()
  rmSync(join(folder, 'alice', 'strays'), { recursive: true })
})
