/** Data that is lost for good: remembered, shown, said once, and not looked for again and again. */
import { mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { systemRandom } from '../../src/clock.js'
import type { Client } from '../../src/dfc/client.js'
import { preparePiece } from '../../src/dfc/content/prepared-segment.js'
import type { Node } from '../../src/dfc/namespace/cache/node.js'
import { Recovery } from '../../src/dfc/quorum/recovery.js'
import { fillServer } from '../../src/dfc/repair/fill.js'
import { replacePiece } from '../../src/dfc/repair/pieces.js'
import { redirectNotices } from '../../src/log.js'
import { holdersOf, homeMask, pieceRange, piecesIn, rotationOf } from '../../src/wire/placement.js'
import { rootIno, type Segment } from '../../src/wire/records.js'
import { UserOfDfc } from '../fixtures/client.js'
import { healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { MessageProxies } from '../fixtures/message-proxies.js'
import { startServerProcesses, startServers, type TestServers, until } from '../fixtures/servers.js'

t.setTimeout(600_000)

interface Described {
  readonly complete: boolean
  readonly lost: number | null
  readonly servers: readonly { readonly state: string; readonly missing: object | null }[]
}

function segmentOf({ inode }: Node): Segment {
  const [segment] = inode.segments
  if (segment === undefined) throw new Error('one segment')
  return segment
}

function filesOf(servers: TestServers, segment: Segment, piece: number): string[] {
  return holdersOf(piece, rotationOf(segment.md5)).map((server) =>
    servers.pieceFile(server, segment.id, piece),
  )
}

function flip(file: string): void {
  const bytes = readFileSync(file)
  bytes[77] = (bytes[77] ?? 0) ^ 1
  writeFileSync(file, bytes)
}

async function listed(client: Client): Promise<Record<string, boolean>> {
  const { entries } = await client.namespace.names.list(rootIno, '')
  return Object.fromEntries(entries.map(({ name, incomplete }) => [name, incomplete]))
}

async function statusOf(
  dfc: UserOfDfc,
): Promise<{ code: number | null | undefined; said: Described }> {
  const { status, out } = await dfc.dfc('status', '--json')
  return { code: status, said: JSON.parse(out) as Described }
}

/** Lines that the servers and the client would log, in one process with this test. */
function linesOf(t: Test): string[] {
  const lines: string[] = []
  redirectNotices((line) => {
    lines.push(line)
    t.comment(line)
  })
  return lines
}

/** Copies the pieces of a file that belong on `server` there, from the other servers. */
async function copyPiecesTo(client: Client, name: string, server: number): Promise<void> {
  const { cluster } = client
  const { reader, writer } = client.content
  const segment = segmentOf(await client.namespace.names.lookup(rootIno, name))
  for (const piece of piecesIn(homeMask(server, segment.length, segment.md5))) {
    await replacePiece({ cluster, reader, writer }, segment, piece, server)
  }
}

for (const how of ['deleted', 'corrupt'] as const) {
  t.test(`a file of which both copies of a piece are ${how} is listed as incomplete`, async (t) => {
    const servers = await startServers(t)
    const proxies = await MessageProxies.open(t, servers)
    const client = await openClient(t, proxies)
    const dfc = new UserOfDfc(join(t.testdirName, 'user'), servers.config())
    const bytes = systemRandom.bytes(800_001)
    const segment = segmentOf(await putFile(client, 'large', bytes))
    await putFile(client, 'whole', systemRandom.bytes(400_000))
    t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
    t.match(await statusOf(dfc), { code: 0, said: { complete: true, lost: 0 } })

    const lines = linesOf(t)
    const range = pieceRange(segment.length, 2)
    for (const file of filesOf(servers, segment, 2))
      how === 'deleted' ? unlinkSync(file) : flip(file)
    client.scheduler.start()
    const code = how === 'deleted' ? 'dataLost' : 'corrupt'
    const { inode } = await client.namespace.names.lookup(rootIno, 'large')
    await t.rejects(client.content.read(inode, range.start, 10), { code })
    await until(() => lines.some((line) => line.includes('"/large" has lost data for good')))
    const rounds = proxies.counter('segments', 0)
    const before = lines.length
    for (let turn = 0; turn < 40; turn += 1) {
      await t.rejects(client.content.read(inode, range.start, 10), { code })
      await sleep(100)
    }
    t.same(lines.slice(before), [], 'nothing more is said of it')
    t.ok(rounds() <= 1, `${rounds()} repairs in four seconds`)
    t.equal(lines.filter((line) => line.includes('lost data')).length, 1)
    client.scheduler.stop()

    t.same(await listed(client), { large: true, whole: false })
    t.same((await dfc.dfc('list')).out, 'large [incomplete]\nwhole\n')
    t.same((await dfc.dfc('list', 'large')).out, 'large [incomplete]\n')
    t.match(JSON.parse((await dfc.dfc('list', '--json')).out), [
      { name: 'large', incomplete: true },
      { name: 'whole', incomplete: false },
    ])
    const { status, out } = await dfc.dfc('status')
    t.equal(status, 1)
    t.match(
      out,
      /not complete: 1 segments that lost data for good\. Do not take another server down/,
    )
    t.match((await statusOf(dfc)).said, { complete: false, lost: 1 })
    const healed = await dfc.dfc('heal')
    t.match(healed, { status: 1, out: /^lost: \/large: bytes \d+ to \d+$/m })
    const third = pieceRange(segment.length, 3)
    const rest = await client.content.read(inode, third.start, third.length)
    t.ok(rest.equals(bytes.subarray(third.start, third.start + third.length)), 'the rest is there')

    t.comment('the piece turns up on one server')
    const [home = 0] = holdersOf(2, rotationOf(segment.md5))
    const piece = bytes.subarray(range.start, range.start + range.length)
    if (how === 'deleted') {
      await client.content.writer.putPiece(segment, preparePiece(2, [piece]), home)
    } else writeFileSync(servers.pieceFile(home, segment.id, 2), piece)
    t.match(await client.scheduler.heal(healNow), { left: 0, lost: [], newlyLost: [] })
    t.same(await listed(client), { large: false, whole: false })
    t.match(await statusOf(dfc), { code: 0, said: { complete: true, lost: 0 } })
    t.ok((await readFile(client, 'large')).equals(bytes))
  })
}

t.test('a file that was lost and is removed or replaced is not lost any more', async (t) => {
  const servers = await startServers(t)
  const client = await openClient(t, servers)
  for (const name of ['removed', 'replaced']) {
    const segment = segmentOf(await putFile(client, name, systemRandom.bytes(400_000)))
    for (const file of filesOf(servers, segment, 1)) unlinkSync(file)
    await t.rejects(readFile(client, name), { code: 'dataLost' })
  }
  t.match((await client.scheduler.heal(healNow)).lost, { length: 2 })
  t.same(await listed(client), { removed: true, replaced: true })
  await client.namespace.unlink(rootIno, 'removed')
  await putFile(client, 'replaced', systemRandom.bytes(400_000))
  t.same(await listed(client), { replaced: false })
  t.match(await client.scheduler.heal(healNow), { left: 0, lost: [], swept: true })
})

t.test('a lost piece is whole again when its file is put back and looked for', async (t) => {
  const servers = await startServers(t)
  const client = await openClient(t, servers)
  const dfc = new UserOfDfc(join(t.testdirName, 'user'), servers.config())
  const bytes = systemRandom.bytes(800_001)
  const segment = segmentOf(await putFile(client, 'large', bytes))
  const [one = '', other = ''] = filesOf(servers, segment, 2)
  const piece = readFileSync(one)
  unlinkSync(one)
  unlinkSync(other)
  await t.rejects(readFile(client, 'large'), { code: 'dataLost' })
  t.match(await client.scheduler.heal(healNow), { lost: [{ piece: 2 }] })

  writeFileSync(other, systemRandom.bytes(piece.length))
  t.equal((await dfc.dfc('verify')).status, 1)
  t.same(await listed(client), { large: true }, 'what has not its digest is no copy')
  writeFileSync(other, piece)
  t.match(await dfc.dfc('verify'), { status: 1, out: /Repaired: 0 left\n$/ })
  t.same(await listed(client), { large: false })
  t.match(await statusOf(dfc), { code: 0, said: { complete: true, lost: 0 } })
  t.same(await readFile(await openClient(t, servers), 'large'), bytes)
})

t.test('a disk that fails and a server that is down lose nothing', async (t) => {
  const servers = await startServers(t)
  const client = await openClient(t, servers)
  const bytes = systemRandom.bytes(800_000)
  const segment = segmentOf(await putFile(client, 'f', bytes))
  const [gone = '', failing = ''] = filesOf(servers, segment, 3)
  const piece = readFileSync(failing)
  unlinkSync(gone)
  unlinkSync(failing)
  // It cannot be read, and nobody can tell what would be there.
  mkdirSync(failing)
  await t.rejects(readFile(client, 'f'), { code: 'incomplete' })
  for (let round = 0; round < 2; round += 1) {
    const { lost, left } = await client.scheduler.heal(healNow)
    t.same(lost, [])
    t.ok(left > 0, 'it is tried again')
  }
  t.same(await listed(client), { f: false })
  rmSync(failing, { recursive: true })
  writeFileSync(failing, piece)
  const [, holder = 0] = holdersOf(3, rotationOf(segment.md5))
  await servers.kill(holder)
  await until(() => client.cluster.up.length === 3)
  t.match((await client.scheduler.heal(healNow)).lost, [])
  await servers.start(holder)
  await until(() => client.cluster.up.length === 4)
  t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
  t.ok((await readFile(client, 'f')).equals(bytes))
})

t.test('status says complete only when a replaced disk has everything again', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const dfc = new UserOfDfc(join(t.testdirName, 'user'), servers.config())
  for (let i = 0; i < 10; i += 1) await putFile(client, `f ${i}`, systemRandom.bytes(100_000))
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
  await servers.kill(1)
  t.match(await statusOf(dfc), { code: 2, said: { complete: false } })
  t.match(await dfc.dfc('status', '--wait', '0.2s'), { status: 2, out: /Do not take another/ })
  servers.wipe(1)
  await servers.start(1)
  await until(() => client.cluster.up.length === 4)
  t.match(await statusOf(dfc), { code: 2, said: { complete: false } })
  t.match((await dfc.dfc('status')).out, /^DFS2 has no data yet/m)
  const recovery = new Recovery(client.cluster, () => client.cluster.voters)
  await fillServer(client.cluster, recovery, 1, () => {})
  const { code, said } = await statusOf(dfc)
  t.equal(code, 1, 'it votes, and has no piece')
  t.match(said.servers[1], { state: 'up', missing: { registers: 0, pieces: 20 } })
  t.match((await dfc.dfc('status')).out, /20 pieces missing.*Do not take another server down\.\n$/)
  t.match((await dfc.dfc('status')).out, /^Repair made no progress just now/m)
  const measuring = dfc.dfc('status', '--json', '--wait', '4s')
  await sleep(2000)
  for (let i = 0; i < 5; i += 1) await copyPiecesTo(client, `f ${i}`, 1)
  const { repairSecondsLeft, servers: half } = JSON.parse((await measuring).out)
  t.match(half[1], { missing: { pieces: 10 } })
  t.ok(repairSecondsLeft >= 1 && repairSecondsLeft <= 10, `${repairSecondsLeft} s, as it has taken`)
  const waiting = dfc.dfc('status', '--wait', '50s')
  await sleep(1500)
  t.match(await client.scheduler.heal(healNow), { left: 0, piecesCopied: 10 })
  t.match(await waiting, { status: 0, out: /All four servers are up and complete\.\n$/ })
  t.match(await dfc.dfc('status', '--wait', 'soon'), { status: 1, problems: /--wait soon/ })
})

t.test('status sees that an old register is missing on one server', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const dfc = new UserOfDfc(join(t.testdirName, 'user'), servers.config())
  await putFile(client, 'old', Buffer.from('old'))
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
  await servers.kill(3)
  const db = new Database(join(servers.folders[3] ?? '', 'alice', 'index.db'))
  db.exec("DELETE FROM entries WHERE name = 'old'; DELETE FROM state WHERE name = 'totals'")
  db.close()
  await servers.start(3)
  await until(() => client.cluster.up.length === 4)
  const { code, said } = await statusOf(dfc)
  t.equal(code, 1)
  t.match(said.servers[3], { missing: { registers: 1, pieces: 0 } })
  t.match(await client.scheduler.heal(healNow), { left: 0 })
  t.match(await statusOf(dfc), { code: 0 })
})

t.test('status does not take what is being stored for missing', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const dfc = new UserOfDfc(join(t.testdirName, 'user'), servers.config())
  let isOver = false
  const writing = (async () => {
    for (let i = 0; !isOver; i += 1) await putFile(client, `f ${i % 50}`, Buffer.alloc(5000, i))
  })()
  for (let turn = 0; turn < 5; turn += 1) t.match(await statusOf(dfc), { code: 0 })
  isOver = true
  await writing
})

for (const isWhole of [true, false]) {
  const what = isWhole ? 'is taken back' : 'that has rotted is not'
  t.test(`the only copy of a piece, unknown since its index was lost, ${what}`, async (t) => {
    const servers = await startServers(t)
    const client = await openClient(t, servers)
    const bytes = systemRandom.bytes(800_001)
    const segment = segmentOf(await putFile(client, 'large', bytes))
    t.match(await client.scheduler.heal(healNow), { left: 0 })
    const piece = 2
    const [one = 0, other = 0] = holdersOf(piece, rotationOf(segment.md5))
    const mine = servers.pieceFile(one, segment.id, piece)
    await servers.kill(one)
    await until(() => client.cluster.up.length === 3)
    const own = join(servers.folders[one] ?? '', 'alice')
    for (const name of ['index.db', 'index.db-wal', 'votes'])
      rmSync(join(own, name), { force: true })
    if (!isWhole) flip(mine)
    unlinkSync(servers.pieceFile(other, segment.id, piece))
    await servers.start(one)
    await until(() => client.cluster.up.length === 4)

    // The first repair fills the server, and meets the copy that is gone.
    for (let round = 0; round < 3; round += 1) await client.scheduler.heal(healNow)
    const again = await openClient(t, servers)
    if (isWhole) {
      t.match(await again.scheduler.heal(healNow), { left: 0, lost: [] })
      t.same(await readFile(again, 'large'), bytes)
    } else {
      t.match(await listed(again), { large: true }, 'what has not its digest is no copy')
      await t.rejects(readFile(again, 'large'), { code: 'dataLost' })
      t.match(
        readdirSync(own, { recursive: true }).filter((name) => `${name}`.startsWith('strays/')),
        [/strays/],
        'the file is kept',
      )
    }
  })
}
