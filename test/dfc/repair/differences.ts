import t from 'tap'
import { sleep, systemClock } from '../../../src/clock.js'
import type { Client } from '../../../src/dfc/client.js'
import { differences } from '../../../src/dfc/repair/differences.js'
import { limits } from '../../../src/limits.js'
import type { Key } from '../../../src/wire/records.js'
import { rootIno } from '../../../src/wire/records.js'
import { noVersion, type Version } from '../../../src/wire/version.js'
import { healNow, openClient, putFile } from '../../fixtures/library.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { startServers, until } from '../../fixtures/servers.js'

const servers = [0, 1, 2, 3]

/** Finds the differences by comparing all registers of the servers, without digests and pages. */
async function expected({ cluster }: Client, floor: Version): Promise<unknown[]> {
  const latest = new Map<Key, { version: Version; holders: number[] }>()
  for (const server of servers) {
    const { reply } = await cluster.request(server, 'changes', {
      afterVersion: floor,
      afterKey: '\uffff',
      withValues: false,
      limit: 4096,
    })
    t.notOk(reply.more)
    for (const { key, version } of reply.registers) {
      const known = latest.get(key)
      if (known === undefined || known.version < version)
        latest.set(key, { version, holders: [server] })
      else if (known.version === version) known.holders.push(server)
    }
  }
  const all = [...latest].map(([key, one]) => ({ key, ...one, isLone: false }))
  return sorted(all.filter(({ holders }) => holders.length < servers.length))
}

function sorted<T extends { readonly key: Key }>(all: readonly T[]): T[] {
  return all.toSorted((a, b) => (a.key < b.key ? -1 : 1))
}

t.test('the differences do not depend on the pages', async (t) => {
  const all = await startServers(t)
  const proxies = await MessageProxies.open(t, all)
  const client = await openClient(t, proxies)
  const { cluster, namespace } = client
  const check = async (what: string): Promise<number> => {
    const wanted = await expected(client, noVersion)
    for (const page of [1, 2, 3, 5, 8, 30, 4096]) {
      const found = sorted(await differences(cluster, servers, noVersion, { pageEntries: page }))
      t.same(found, wanted, `${what}, pages of ${page}`)
    }
    return wanted.length
  }
  // Decisions are sent a moment after the votes.
  const decided = (): Promise<void> => sleep(systemClock, 10 * limits.decisionDelayMs)
  const without = async (server: number, work: () => Promise<unknown>): Promise<void> => {
    await all.kill(server)
    await until(() => cluster.up.length === 3)
    await work()
    await decided()
    await all.start(server)
    await until(() => cluster.up.length === 4)
  }
  for (let count = 0; count < 12; count += 1) await putFile(client, `f${count}`, Buffer.alloc(10))
  await decided()
  t.equal(await check('nothing is missing'), 0)
  await without(2, async () => {
    await namespace.rename(rootIno, 'f3', rootIno, 'g', 'replace')
    await namespace.unlink(rootIno, 'f5')
    await putFile(client, 'f7', Buffer.alloc(20))
  })
  t.ok((await check('one has missed something')) > 0)
  // The next files are on all servers, and those after them are missing on another one.
  for (let count = 0; count < 7; count += 1) await putFile(client, `h${count}`, Buffer.alloc(10))
  await decided()
  await without(0, () => putFile(client, 'last', Buffer.alloc(30)))
  t.ok((await check('now another one has')) > 0)

  const waits: number[] = []
  const giveWay = async (tookMs: number): Promise<void> => {
    waits.push(tookMs)
    const before = proxies.sent.length
    await sleep(systemClock, 5)
    await proxies.arrived(cluster)
    const asked = proxies.sent.slice(before).filter(({ verb }) => verb !== 'ping')
    t.same(asked, [], 'nothing is asked while it gives way')
  }
  await differences(cluster, servers, noVersion, { pageEntries: 8, giveWay })
  t.ok(waits.length >= 3, `${waits.length} pauses`)
  t.ok(waits.every((tookMs) => tookMs > 0))
  await client.scheduler.heal(healNow)
  t.equal(await check('it is repaired'), 0)
})
