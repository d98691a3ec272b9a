import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { sleep, systemClock } from '../../../src/clock.js'
import { AccountFolder } from '../../../src/dfs/index/account-history.js'
import type { Reply } from '../../../src/wire/messages.js'
import { beginAccount } from '../../fixtures/bystander.js'
import { startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'

/** The folder of an account that was founded on a server, which has been stopped. */
async function foundedOnce(t: Test): Promise<{ readonly folder: string; readonly own: string }> {
  const folder = t.testdir({})
  const { server, port } = await startServer(t, { folder })
  await beginAccount(await RawClient.open(port))
  await server.stop(0)
  return { folder, own: join(folder, 'alice') }
}

async function statusOf(port: number): Promise<Reply<'status'>> {
  const client = await RawClient.open(port)
  return client.call('status', {})
}

const indexFiles = ['index.db', 'index.db-wal', 'votes']
const traces: Readonly<Record<string, string>> = {
  'the mark of its founding': 'founded',
  'a piece': 'pieces/ab/abcd.1',
  'an index that was set aside': 'damaged/1/index.db',
}

for (const [what, file] of Object.entries(traces)) {
  t.test(`an account of which only ${what} is left is lost, and not new`, async (t) => {
    const { folder, own } = await foundedOnce(t)
    t.ok(existsSync(join(own, 'founded')))
    for (const name of [...indexFiles, 'founded']) rmSync(join(own, name), { force: true })
    mkdirSync(dirname(join(own, file)), { recursive: true })
    writeFileSync(join(own, file), 'something')

    const { port, notices } = await startServer(t, { folder })
    const { state, stamp } = await statusOf(port)
    t.equal(state, 'lost')
    t.match(notices.join('\n'), /the index of this account is gone/)
    const client = await RawClient.open(port)
    const incarnations = Array<number>(4).fill(stamp.incarnation)
    await t.rejects(client.call('found', { incarnations }), { code: 'blank' })
    t.match(await statusOf(port), { state: 'lost' })
  })
}

t.test('an account that never was is blank', async (t) => {
  const { folder } = await foundedOnce(t)
  rmSync(join(folder, 'alice'), { recursive: true })
  const { port } = await startServer(t, { folder })
  t.match(await statusOf(port), { state: 'blank' })
})

t.test('what is set aside is kept each time, and taken back where it is whole', async (t) => {
  const { folder, own } = await foundedOnce(t)
  const before = readFileSync(join(own, 'index.db'))
  const account = new AccountFolder(own)
  account.setAside()
  writeFileSync(join(own, 'index.db'), 'another one')
  account.setAside()
  const asides = ['2', '1'].map((name) => join(own, 'damaged', name))
  t.same(account.asides(), asides)
  t.same(readFileSync(join(own, 'damaged', '1', 'index.db')), before, 'nothing was overwritten')
  await t.rejects(account.examine(asides[0]), { code: 'damaged' })
  await t.resolves(account.examine(asides[1]))

  const { port, notices } = await startServer(t, { folder })
  for (let tries = 0; tries < 200; tries += 1) {
    const found = await statusOf(port).catch(() => undefined)
    if (found?.state === 'unsure') break
    await sleep(systemClock, 20)
  }
  t.match(await statusOf(port), { state: 'unsure' }, 'repair has to confirm it')
  t.match(notices.join('\n'), /the index that was set aside is intact and is used again/)
})

t.test('what the disk may have dropped is to be confirmed, also after a restart', async (t) => {
  const { folder, own } = await foundedOnce(t)
  new AccountFolder(own).distrust()
  for (let start = 0; start < 2; start += 1) {
    const { server, port } = await startServer(t, { folder })
    t.match(await statusOf(port), { state: 'unsure' })
    await server.stop(0)
  }
})

t.test('an index whose state has rotted is damaged, though its structure is whole', async (t) => {
  const { own } = await foundedOnce(t)
  const db = new Database(join(own, 'index.db'))
  db.exec("UPDATE state SET value = 9 WHERE name = 'epoch'")
  db.close()
  await t.rejects(new AccountFolder(own).examine(), { code: 'damaged' })
})

t.test('what was begun in the place of a lost index is not taken back for one', async (t) => {
  const { folder, own } = await foundedOnce(t)
  rmSync(join(own, 'index.db'))
  const { server, port } = await startServer(t, { folder })
  t.match(await statusOf(port), { state: 'lost' })
  await server.stop(0)
  const account = new AccountFolder(own)
  account.setAside()
  const [aside] = account.asides()
  await t.rejects(account.examine(aside), { code: 'damaged' })
})
