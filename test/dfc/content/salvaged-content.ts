/** A content of which the servers have swept a part: what is left of it is read, and zeros for the rest. */
import t from 'tap'
import { SalvagedContent } from '../../../src/dfc/content/salvaged-content.js'
import { rootIno } from '../../../src/wire/records.js'
import { healNow, openClient, putFile } from '../../fixtures/library.js'
import { Seeded } from '../../fixtures/seeded.js'
import { startServers } from '../../fixtures/servers.js'

t.setTimeout(60_000)

t.test('zeros stand for what is gone, and the rest is read', async (t) => {
  const servers = await startServers(t)
  const alice = await openClient(t, servers)
  const [gone, left] = [new Seeded(1).bytes(200_000), new Seeded(2).bytes(150_000)]
  const first = await putFile(alice, 'first', gone)
  const second = await putFile(alice, 'second', left)
  const at = gone.length + 1000
  const whole = {
    size: at + left.length + 10,
    segments: [...first.inode.segments, ...second.inode.segments],
    extents: [
      ...first.inode.extents,
      ...second.inode.extents.map((extent) => ({ ...extent, at, segment: 1 })),
    ],
  }
  // Each time by a client that has nothing in its cache.
  const read = async () => {
    const { content } = await openClient(t, servers)
    const salvaged = new SalvagedContent(content, whole, () => false)
    const parts: Buffer[] = []
    for await (const part of salvaged) parts.push(part)
    return { bytes: Buffer.concat(parts), lostBytes: salvaged.lostBytes }
  }
  const hole = Buffer.alloc(1000)
  const expected = [hole, left, Buffer.alloc(10)]
  t.same(await read(), { bytes: Buffer.concat([gone, ...expected]), lostBytes: 0 })

  await alice.namespace.unlink(rootIno, 'first')
  t.match(await alice.scheduler.heal(healNow), { left: 0, swept: true })
  t.match(await alice.scheduler.heal(healNow), { left: 0, swept: true })
  const zeros = Buffer.alloc(gone.length)
  t.same(await read(), { bytes: Buffer.concat([zeros, ...expected]), lostBytes: gone.length })
})

t.test('what may come back is waited for', async (t) => {
  const servers = await startServers(t)
  const alice = await openClient(t, servers)
  const { inode } = await putFile(alice, 'file', new Seeded(3).bytes(300_000))
  const { content } = await openClient(t, servers)
  await servers.kill(0, 1)
  const read = async (isFinal: boolean): Promise<number> => {
    const salvaged = new SalvagedContent(content, inode, () => isFinal)
    for await (const _ of salvaged);
    return salvaged.lostBytes
  }
  await t.rejects(read(false), { code: 'incomplete' })
  t.ok((await read(true)) > 0)
})
