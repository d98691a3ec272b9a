import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { sleep, systemClock, systemRandom } from '../../src/clock.js'
import type { Client } from '../../src/dfc/client.js'
import type { VerifyReport } from '../../src/dfc/repair/verify.js'
import { fileType, rootIno } from '../../src/wire/records.js'
import { checkAll, clean, healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses, type TestServers, until } from '../fixtures/servers.js'

const filesMax = 60
const hourMs = 3600_000

function indexOf(servers: TestServers, server: number): string {
  return join(servers.folders[server] ?? '', 'alice', 'index.db')
}

async function putMany(client: Client): Promise<void> {
  for (let i = 0; i < filesMax; i += 1) await putFile(client, `file ${i}`, Buffer.alloc(900 + i, i))
}

async function assertAllReadable(t: Test, client: Client): Promise<void> {
  let wrong = 0
  for (let i = 0; i < filesMax; i += 1) {
    if (!(await readFile(client, `file ${i}`)).equals(Buffer.alloc(900 + i, i))) wrong += 1
  }
  t.equal(wrong, 0, 'every file is as it was written')
}

function isNone(what: string, found: Partial<VerifyReport>, count: number | never[]): boolean {
  const value = found[what as keyof VerifyReport]
  return typeof count === 'number' ? value === count : Array.isArray(value) && value.length === 0
}

/** Does `change` to the server's index while it does not run. */
async function rewrite(
  servers: TestServers,
  client: Client,
  server: number,
  change: (file: string) => void,
): Promise<void> {
  await servers.kill(server)
  // What is in the log only would be written over the damage.
  const db = new Database(indexOf(servers, server))
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
  change(indexOf(servers, server))
  await servers.start(server)
  await until(() => client.cluster.up.length === 4)
}

t.test('registers that rotted inside valid pages are served by others and replaced', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  await putMany(client)
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
  await rewrite(servers, client, 2, (file) => {
    const db = new Database(file)
    const inodes = db.prepare('SELECT ino, value FROM inodes WHERE ino <> 1 LIMIT 3').all() as {
      ino: number
      value: Buffer
    }[]
    for (const { ino, value } of inodes) {
      value[30] = (value[30] ?? 0) ^ 4
      db.prepare('UPDATE inodes SET value = ? WHERE ino = ?').run(value, ino)
    }
    db.exec("UPDATE entries SET ino = ino + 1 WHERE name = 'file 7'")
    // One that nobody ever wrote, where a name rotted.
    db.exec("UPDATE entries SET name = 'file X' WHERE name = 'file 8'")
    db.close()
  })
  await assertAllReadable(t, client)
  const report = await checkAll(client)
  t.match(report, { rotten: 5, missing: 0, bad: 0, lost: [] })
  t.ok(report.differences >= 5, `${report.differences} differ`)
  // The name that rotted is no longer known there: it is old, so only its absence tells.
  const healed = await client.scheduler.heal(healNow)
  t.match(healed, { registersRestored: 6, left: 0, swept: true })
  t.match(await checkAll(client), clean)
  await servers.kill(0)
  await assertAllReadable(t, client)
})

t.test('what rotted is deleted and made anew as if it had not', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  await putMany(client)
  await rewrite(servers, client, 1, (file) => {
    const db = new Database(file)
    db.exec("UPDATE entries SET type = 5 WHERE name IN ('file 1', 'file 2')")
    db.exec('UPDATE inodes SET links = links, value = substr(value, 1, length(value) - 1)')
    db.close()
  })
  await client.namespace.unlink(rootIno, 'file 1')
  await putFile(client, 'file 1', Buffer.alloc(901, 1))
  await putFile(client, 'file 2', Buffer.alloc(902, 2))
  t.match(await client.scheduler.heal(healNow), { left: 0 })
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
  t.match(await checkAll(client), clean)
  await assertAllReadable(t, client)
})

t.test('an index that is damaged anywhere costs nothing but a repair', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  await putMany(client)
  await client.sync()
  const random = new Seeded(20_261)
  const write = (file: string, at: number, bytes: Buffer): void => {
    const descriptor = openSync(file, 'r+')
    writeSync(descriptor, bytes, 0, bytes.length, at)
    closeSync(descriptor)
  }
  const damages: readonly [string, (file: string) => void][] = [
    ['no database', (file) => writeFileSync(file, 'this was a database once')],
    ['cut short', (file) => truncateSync(file, Math.floor(statSync(file).size / 2))],
    ['a page of zeros', (file) => write(file, 4096 * 3, Buffer.alloc(4096))],
    ...[1, 2, 3, 4, 5, 6].map((turn): [string, (file: string) => void] => [
      `random bytes ${turn}`,
      (file) => {
        const { size } = statSync(file)
        for (let i = 0; i < 20 * turn; i += 1) {
          write(file, 100 + random.below(size - 200), random.bytes(1 + random.below(8)))
        }
      },
    ]),
  ]
  for (const [index, [name, damage]] of damages.entries()) {
    const server = index % 4
    await rewrite(servers, client, server, damage)
    await assertAllReadable(t, client)
    await putFile(client, 'file 5', Buffer.alloc(905, 5))
    // A repair may find that the server is to be filled, and only the look at all finds rotten pieces.
    let found: Partial<VerifyReport> = {}
    for (let round = 0; round < 6; round += 1) {
      await until(() => client.cluster.up.length === 4)
      const { left } = await client.scheduler.heal(healNow).catch(() => ({ left: 1 }))
      found = left > 0 ? found : await checkAll(client).catch(() => found)
      if (Object.entries(clean).every(([what, count]) => isNone(what, found, count))) break
    }
    t.match(found, clean, name)
  }
  t.ok(
    existsSync(join(dirname(indexOf(servers, 0)), 'damaged', '1', 'index.db')),
    'what was damaged is kept aside',
  )
  await assertAllReadable(t, client)
})

t.test('files that no piece is known by are found and removed', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  await putFile(client, 'large', systemRandom.bytes(500_000))
  t.match(await client.scheduler.heal(healNow), { straysDeleted: 0, left: 0 })
  const plant = (server: number): string => {
    const file = servers.pieceFile(server, `${'ab'.repeat(15)}0${server}`, 2)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, 'a stump')
    return file
  }
  const files = [plant(0), plant(3)]
  t.match(await checkAll(client), { ...clean, strays: 2 })
  t.match(await client.scheduler.heal(healNow), { straysDeleted: 2, left: 0 })
  t.match(await checkAll(client), clean)
  t.notOk(files.some((file) => existsSync(file)))
  // A server looks by itself once it has started and its floor is raised.
  plant(1)
  await servers.kill(1)
  await servers.start(1)
  await until(() => client.cluster.up.length === 4)
  t.match(await client.scheduler.heal({ ...healNow, thorough: false }), { straysDeleted: 0 })
  t.match(await checkAll(client), clean)
  const folder = join(servers.folders[1] ?? '', 'alice', 'pieces')
  t.equal(readdirSync(join(folder, 'ab')).length, 0)
})

t.test('a file without a name goes when its mount died, and stays while it is open', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const other = await openClient(t, servers)
  await putFile(client, 'abandoned', Buffer.alloc(5000, 1))
  await putFile(other, 'open', Buffer.alloc(5000, 2))
  await client.namespace.unlink(rootIno, 'abandoned', () => true)
  const attributes = { mode: fileType.file | 0o600, uid: 0, gid: 0 }
  await client.namespace.createNameless(rootIno, attributes)
  const { ino } = await other.namespace.unlink(rootIno, 'open', () => true)
  const young = { ...healNow, orphanAgeMs: hourMs }
  t.match(await other.scheduler.heal(young), { orphansDeleted: 0, left: 0 }, 'all are young')
  // By the servers' time: no client can make it pass.
  const ages = { ...healNow, orphanAgeMs: 5_000 }
  await sleep(systemClock, 5_500)
  await other.namespace.renewKept(0)
  t.match(await other.scheduler.heal(ages), { orphansDeleted: 2, left: 0, swept: true })
  const { inode } = await other.namespace.names.node(ino, true)
  t.same(await other.content.read(inode, 0, 5000), Buffer.alloc(5000, 2), 'it can still be read')
  await other.namespace.forget(ino)
  t.match(await other.scheduler.heal(ages), { orphansDeleted: 0, left: 0, swept: true })
  t.match(await checkAll(other), { ...clean, segments: 0 })
})
