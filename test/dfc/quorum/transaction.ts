import t, { type Test } from 'tap'
import { systemRandom } from '../../../src/clock.js'
import type { Client } from '../../../src/dfc/client.js'
import { build, wholeSlice } from '../../../src/dfc/content/extents.js'
import { prepare } from '../../../src/dfc/content/prepared-segment.js'
import { serverIndexes } from '../../../src/wire/placement.js'
import { fileType, inodeKey, rootIno } from '../../../src/wire/records.js'
import { noVersion } from '../../../src/wire/version.js'
import { openClient } from '../../fixtures/library.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { startServers } from '../../fixtures/servers.js'

t.test('content that was just committed is not fetched to be read again', async (t) => {
  const proxies = await MessageProxies.open(t, await startServers(t))
  const client = await openClient(t, proxies)
  const bytes = systemRandom.bytes(5000)
  const written = Buffer.from(bytes)
  const inline = prepare(written, systemRandom)
  const content = build(bytes.length, [wholeSlice(inline.segment)])
  const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0, content, inline }
  await client.namespace.create(rootIno, 'file', attributes)
  // The writer uses its memory for something else after the commit.
  written.fill(0)
  t.same(await client.content.read(content, 0, bytes.length), bytes)
  t.same(await client.content.read(content, 1100, 2600), bytes.subarray(1100, 3700))
  await proxies.arrived(client.cluster)
  t.equal(proxies.count('getPiece'), 0)
})

interface Company {
  readonly owner: Client
  readonly other: Client
  /** Proxies that show the messages of the owner. */
  readonly proxies: MessageProxies
}

/** Opens a client with a change of its own, and another one, which recovers transactions and sweeps. */
async function company(t: Test): Promise<Company> {
  const servers = await startServers(t)
  const proxies = await MessageProxies.open(t, servers)
  const owner = await openClient(t, proxies)
  const other = await openClient(t, servers)
  // Only messages of the owner from now on are counted.
  proxies.sent.length = 0
  return { owner, other, proxies }
}

/** Options of a repair that decides everything in doubt, and has its records dropped on all four servers. */
const sweepAll = { patienceMs: 0, sweepAgeMs: -1000 }

/**
 * Makes a change of the root folder just before the owner's first commit and leaves it undecided on three servers, so
 * that the owner gets the vote of the fourth only.
 */
function standInTheWay(t: Test, { cluster }: Client): () => Promise<void> {
  let isThere: Promise<void> | undefined
  const stand = async (): Promise<void> => {
    const key = inodeKey(rootIno)
    const { reply } = await cluster.request(0, 'read', { keys: [key] })
    const { version, value } = reply.registers[0]?.register ?? { version: noVersion, value: null }
    cluster.versions.see(version)
    const preconditions = [{ key, absent: false, version }]
    const body = { writes: [{ key, value }], preconditions, emptyFolders: [] }
    const commit = { id: cluster.versions.next(), epoch: 0, settles: [], body, pieces: [] }
    const votes = await cluster.ask([0, 1, 3], 'commit', () => commit)
    const outcomes = votes.map(({ answer }) => answer?.reply.outcome)
    t.same(outcomes, ['yes', 'yes', 'yes'])
  }
  return () => {
    isThere ??= stand()
    return isThere
  }
}

const folder = { mode: fileType.folder | 0o755, uid: 0, gid: 0 }

t.test('a change that others aborted and forgot meanwhile is tried again', async (t) => {
  const { owner, other, proxies } = await company(t)
  let swept: ReturnType<typeof other.scheduler.heal> | undefined
  const stand = standInTheWay(t, other)
  proxies.watch(async ({ verb, isAnswer }) => {
    if (isAnswer) return
    if (verb === 'commit') await stand()
    if (verb !== 'prepare') return
    swept ??= other.scheduler.heal(sweepAll)
    t.match(await swept, { swept: true })
  })
  const { inode } = await owner.namespace.update(rootIno, (inode) => ({ ...inode, uid: 77 }))
  t.ok(swept)
  t.equal(inode.uid, 77)
  t.equal((await other.namespace.names.node(rootIno, true)).inode.uid, 77)
})

t.test(
  'a change is not reported as failed when its votes did not arrive and are forgotten',
  async (t) => {
    const { owner, other, proxies } = await company(t)
    let swept: ReturnType<typeof other.scheduler.heal> | undefined
    proxies.watch(async ({ verb, times, isAnswer, fail }) => {
      if (verb !== 'commit') return
      // After an error of the disk, the vote may be on it or not.
      if (times === 1 && isAnswer) fail('disk')
      if (times === 1 || isAnswer) return
      swept ??= other.scheduler.heal(sweepAll)
      t.match(await swept, { swept: true })
    })
    await t.rejects(owner.namespace.create(rootIno, 'folder', folder), { code: 'unknownOutcome' })
    t.ok(swept)
    t.ok(await other.namespace.names.lookup(rootIno, 'folder'), 'others have committed it')
  },
)

t.test('a transaction in the way on three servers is recovered once', async (t) => {
  const { owner, other, proxies } = await company(t)
  const stand = standInTheWay(t, other)
  proxies.watch(async ({ verb, isAnswer }) => {
    if (verb === 'commit' && !isAnswer) await stand()
  })
  await owner.namespace.update(rootIno, (inode) => ({ ...inode, uid: 77 }))
  // One recovery is for it, and one for the owner's own first attempt, which it made outdated.
  t.same(
    serverIndexes.map((server) => proxies.count('prepare', server)),
    [2, 2, 2, 2],
  )
})
