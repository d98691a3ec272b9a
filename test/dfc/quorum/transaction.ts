import t, { type Test } from 'tap'
import { systemRandom } from '../../../src/clock.js'
import type { Client } from '../../../src/dfc/client.js'
import { build, wholeSlice } from '../../../src/dfc/content/extents.js'
import { prepare } from '../../../src/dfc/content/prepared-segment.js'
import { DfsError } from '../../../src/errors.js'
import type { Verb } from '../../../src/wire/messages.js'
import { fileType, inodeKey, rootIno } from '../../../src/wire/records.js'
import { noVersion } from '../../../src/wire/version.js'
import { openClient } from '../../fixtures/library.js'
import { startServers } from '../../fixtures/servers.js'

t.test('content that was just committed is not fetched to be read again', async (t) => {
  const servers = await startServers(t)
  const client = await openClient(t, servers)
  const bytes = systemRandom.bytes(5000)
  const written = Buffer.from(bytes)
  const inline = prepare(written, systemRandom)
  const content = build(bytes.length, [wholeSlice(inline.segment)])
  const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0, content, inline }
  await client.namespace.create(rootIno, 'file', attributes)
  // The writer has its memory back, and uses it for something else.
  written.fill(0)
  const { cluster } = client
  const { request } = cluster
  const asked: string[] = []
  cluster.request = (index, verb, ...rest) => {
    asked.push(verb)
    return request.call(cluster, index, verb, ...rest) as never
  }
  t.same(await client.content.read(content, 0, bytes.length), bytes)
  t.same(await client.content.read(content, 1100, 2600), bytes.subarray(1100, 3700))
  t.notOk(asked.includes('getPiece'))
})

interface Company {
  readonly owner: Client
  readonly other: Client
  /** Before the owner asks a server for this, something else happens. */
  interrupt(verb: Verb, happens: (call: Call) => Promise<void>): void
}

interface Call {
  readonly server: number
  /** 1 is the first time that this server is asked. */
  readonly times: number
  /** Sends it and waits for the answer. */
  readonly send: () => Promise<unknown>
}

/** The client whose change is told of and another one, which finishes what it meets, and sweeps. */
async function company(t: Test): Promise<Company> {
  const servers = await startServers(t)
  const owner = await openClient(t, servers)
  const other = await openClient(t, servers)
  const { cluster } = owner
  const { request } = cluster
  const interrupt: Company['interrupt'] = (interrupted, happens) => {
    const times = [0, 0, 0, 0]
    const next = cluster.request
    cluster.request = async (server, verb, ...rest) => {
      const send = () => next.call(cluster, server, verb, ...rest)
      if (verb !== interrupted) return (await send()) as never
      times[server] = (times[server] ?? 0) + 1
      let answer: Promise<unknown> | undefined
      const sendOnce = () => {
        answer ??= send()
        return answer
      }
      await happens({ server, times: times[server] ?? 0, send: sendOnce })
      return (await sendOnce()) as never
    }
  }
  t.teardown(() => {
    cluster.request = request
  })
  return { owner, other, interrupt }
}

/** Everything undecided is finished, and its record dropped on all four servers. */
const sweepAll = { patienceMs: 0, sweepAgeMs: -1000 }

/**
 * Just before the owner's first commit, a change of the root folder whose client is slow: three servers
 * wait for it, so the owner has the vote of the fourth only.
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
  const { owner, other, interrupt } = await company(t)
  let swept: ReturnType<typeof other.scheduler.heal> | undefined
  interrupt('commit', standInTheWay(t, other))
  interrupt('prepare', async () => {
    swept ??= other.scheduler.heal(sweepAll)
    t.match(await swept, { swept: true })
  })
  const { inode } = await owner.namespace.update(rootIno, (inode) => ({ ...inode, uid: 77 }))
  t.ok(swept)
  t.equal(inode.uid, 77)
  t.equal((await other.namespace.names.node(rootIno, true)).inode.uid, 77)
})

t.test(
  'a change whose votes were not heard of is not called failed when they are forgotten',
  async (t) => {
    const { owner, other, interrupt } = await company(t)
    let swept: ReturnType<typeof other.scheduler.heal> | undefined
    interrupt('commit', async ({ times, send }) => {
      if (times === 1) {
        await send()
        throw new DfsError('down')
      }
      swept ??= other.scheduler.heal(sweepAll)
      t.match(await swept, { swept: true })
    })
    await t.rejects(owner.namespace.create(rootIno, 'folder', folder), { code: 'unknownOutcome' })
    t.ok(swept)
    t.ok(await other.namespace.names.lookup(rootIno, 'folder'), 'others have committed it')
  },
)

t.test('what is in the way on three servers is finished once', async (t) => {
  const { owner, other, interrupt } = await company(t)
  const asked = [0, 0, 0, 0]
  interrupt('commit', standInTheWay(t, other))
  interrupt('prepare', async ({ server, times }) => {
    asked[server] = times
  })
  await owner.namespace.update(rootIno, (inode) => ({ ...inode, uid: 77 }))
  // Once for it, and once for the owner's own first attempt, which it made outdated.
  t.same(asked, [2, 2, 2, 2])
})
