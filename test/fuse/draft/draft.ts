import t, { type Test } from 'tap'
import { type Content, emptyContent } from '../../../src/dfc/content/content.js'
import { copyRange } from '../../../src/dfc/content/extents.js'
import { Draft, type DraftTools } from '../../../src/fuse/draft/draft.js'
import { limits } from '../../../src/limits.js'
import { draftToolsOf } from '../../fixtures/drafts.js'
import { openClient } from '../../fixtures/library.js'
import { Seeded } from '../../fixtures/seeded.js'
import { startServers, until } from '../../fixtures/servers.js'

t.setTimeout(240_000)
const MiB = 1024 * 1024
const now = { seconds: 1, nanoseconds: 0 }
const servers = await startServers(t)
const client = await openClient(t, servers)
const tools = draftToolsOf(client, servers)

function draftOn(base: Content, on: DraftTools = tools): Draft {
  return new Draft(on, base, now)
}

async function committed(draft: Draft): Promise<Content> {
  const { content, inline } = await draft.store()
  if (inline !== undefined) await client.content.writer.put(inline)
  draft.release()
  return content
}

async function readAll(content: Content): Promise<Buffer> {
  return client.content.read(content, 0, content.size)
}

/** Changes that every draft must get right, each on the draft and on the array that models it. */
const changes = {
  async write(draft: Draft, model: Buffer, random: Seeded): Promise<Buffer> {
    const at = random.below(400_000)
    const bytes = random.bytes(1 + random.below(random.below(3) === 0 ? 100_000 : 500))
    await draft.write(at, Buffer.from(bytes))
    const grown = resized(model, Math.max(model.length, at + bytes.length))
    bytes.copy(grown, at)
    return grown
  },
  async truncate(draft: Draft, model: Buffer, random: Seeded): Promise<Buffer> {
    const size = random.below(500_000)
    await draft.truncate(size)
    return resized(model, size)
  },
  async punch(draft: Draft, model: Buffer, random: Seeded): Promise<Buffer> {
    const at = random.below(500_000)
    const length = 1 + random.below(50_000)
    await draft.punch(at, length)
    const end = Math.min(at + length, model.length)
    return Buffer.from(model).fill(0, Math.min(at, end), end)
  },
  async spill(draft: Draft, model: Buffer): Promise<Buffer> {
    await draft.spill()
    return model
  },
  async flatten(draft: Draft, model: Buffer): Promise<Buffer> {
    await draft.flatten()
    return model
  },
  async paste(draft: Draft, model: Buffer, random: Seeded): Promise<Buffer> {
    if (model.length < 2) return model
    const from = random.below(model.length - 1)
    const length = 1 + random.below(Math.min(60_000, model.length - from))
    const at = random.below(400_000)
    const source = await draft.flatten()
    await draft.paste(copyRange(source, from, length, emptyContent, 0), 0, length, at)
    const grown = resized(model, Math.max(model.length, at + length))
    model.copy(grown, at, from, from + length)
    return grown
  },
}

function resized(model: Buffer, size: number): Buffer {
  const changed = Buffer.alloc(size)
  model.copy(changed)
  return changed
}

/** Compares whole and in ranges, as a reader sees the draft. */
async function check(t: Test, draft: Draft, model: Buffer, what: string): Promise<boolean> {
  const whole = await draft.read(0, model.length + 10)
  return t.ok(draft.size === model.length && whole.equals(model), what)
}

t.test('reads back what an array of bytes would hold, after any changes', async (t) => {
  const names = Object.keys(changes) as (keyof typeof changes)[]
  const weighted = [...names, 'write', 'write', 'write', 'write'] as const
  for (let seed = 1; seed <= 6; seed += 1) {
    const random = new Seeded(seed)
    let draft = draftOn(emptyContent)
    let model = Buffer.alloc(0)
    for (let step = 0; step < 80; step += 1) {
      const name = weighted[random.below(weighted.length)] ?? 'write'
      model = Buffer.from(await changes[name](draft, model, random))
      if (!(await check(t, draft, model, `seed ${seed}, step ${step}: ${name}`))) return
      if (step % 20 === 19) {
        const content = await committed(draft)
        t.ok((await readAll(content)).equals(model), `seed ${seed}: committed after ${step}`)
        draft = draftOn(content)
      }
    }
    draft.release()
  }
})

t.test('what is read at once with a change is from before or after it', async (t) => {
  const draft = draftOn(emptyContent)
  await draft.write(0, Buffer.alloc(300_000, 1))
  await draft.spill()
  const before = draft.read(0, 300_000)
  await draft.truncate(0)
  t.equal((await before).length, 300_000)
  t.equal((await draft.read(0, 10)).length, 0)
  draft.release()
})

t.test('knows whether anything but the end was changed', async (t) => {
  const base = draftOn(emptyContent)
  await base.write(0, Buffer.alloc(100, 1))
  const content = await committed(base)
  const tried: readonly [boolean, (draft: Draft) => Promise<void>][] = [
    [true, (draft) => draft.write(100, Buffer.from('x'))],
    [true, (draft) => draft.truncate(200)],
    [true, (draft) => draft.paste(content, 0, 10, 100)],
    [false, (draft) => draft.write(99, Buffer.from('xy'))],
    [false, (draft) => draft.truncate(99)],
    [false, (draft) => draft.punch(0, 1)],
    [false, (draft) => draft.paste(content, 0, 10, 0)],
  ]
  for (const [expected, change] of tried) {
    const draft = draftOn(content)
    await change(draft)
    t.equal(draft.onlyAppends, expected, change.toString())
    draft.release()
  }
})

t.test('small content travels inside the commit', async (t) => {
  const draft = draftOn(emptyContent)
  await draft.write(10, Buffer.from('hello'))
  await draft.write(0, Buffer.from('abc'))
  const { content, inline } = await draft.store()
  t.equal(inline?.segment.length, 8, 'both ranges in one segment')
  t.match(content, { size: 15, extents: { length: 2 } })
  draft.release()
})

t.test('a file written in one go is one segment, whatever order its parts had', async (t) => {
  const bytes = new Seeded(5).bytes(3 * MiB + 1)
  const draft = draftOn(emptyContent)
  await draft.write(2 * MiB, Buffer.from(bytes.subarray(2 * MiB)))
  await draft.write(0, Buffer.from(bytes.subarray(0, 2 * MiB)))
  const content = await committed(draft)
  t.equal(content.segments.length, 1)
  t.ok((await readAll(content)).equals(bytes))
})

t.test('a long write uploads whole segments while it goes on', async (t) => {
  const random = new Seeded(6)
  const block = random.bytes(MiB)
  const draft = draftOn(emptyContent)
  const count = 70
  for (let index = 0; index < count; index += 1) {
    const bytes = Buffer.from(block)
    bytes.writeUInt32BE(index)
    await draft.write(index * MiB, bytes)
  }
  t.ok(draft.memoryBytes <= limits.segmentBytesMax * 3, `${draft.memoryBytes} bytes in memory`)
  const content = await committed(draft)
  t.same(
    content.segments.map(({ length }) => length / MiB),
    [32, 32, 6],
  )
  for (const index of [0, 31, 32, 69]) {
    const at = index * MiB
    t.equal((await client.content.read(content, at, 4)).readUInt32BE(), index)
  }
})

t.test('data can be overwritten while it is being uploaded', async (t) => {
  const draft = draftOn(emptyContent)
  await draft.write(0, Buffer.alloc(limits.segmentBytesMax, 1))
  await draft.write(5 * MiB, Buffer.alloc(MiB, 2))
  await draft.write(0, Buffer.alloc(3, 3))
  const expected = Buffer.alloc(limits.segmentBytesMax, 1)
  expected.fill(2, 5 * MiB, 6 * MiB).fill(3, 0, 3)
  t.ok((await draft.read(0, limits.segmentBytesMax)).equals(expected), 'before')
  t.ok((await readAll(await committed(draft))).equals(expected), 'and after the commit')
})

t.test('very many scattered writes go to the spill file', async (t) => {
  const own = draftToolsOf(client, servers)
  const draft = draftOn(emptyContent, own)
  const count = limits.draftRunsMax + 500
  for (let index = 0; index < count; index += 1) {
    const bytes = Buffer.alloc(100)
    bytes.writeUInt32BE(index)
    await draft.write(index * 300, bytes)
  }
  t.ok(own.spill.usedBytes > 0, 'some are in the file')
  t.ok(draft.memoryBytes < count * 100)
  const content = await committed(draft)
  t.equal(own.spill.usedBytes, 0, 'its space is given back')
  for (const index of [0, 1, 4096, count - 1]) {
    t.equal((await client.content.read(content, index * 300, 4)).readUInt32BE(), index)
  }
})

t.test('written data is stored also where the data around it is lost', async (t) => {
  const lost = { id: 'f'.repeat(32), length: 10_000, md5: '0'.repeat(32) }
  const extents = Array.from({ length: 30 }, (_, index) => ({
    at: index * 200,
    segment: 0,
    offset: index * 300,
    length: 100,
  }))
  const draft = draftOn({ size: 6000, segments: [lost], extents })
  const bytes = Buffer.from('written')
  await draft.write(150, Buffer.from(bytes))
  const content = await committed(draft)
  t.ok((await client.content.read(content, 150, bytes.length)).equals(bytes))
  t.equal(content.extents.length, 31)
  await t.rejects(client.content.read(content, 200, 10), { code: 'dataLost' })
})

t.test('data that no server takes stays, and is stored when servers are back', async (t) => {
  const bytes = new Seeded(7).bytes(limits.segmentBytesMax + 1000)
  const draft = draftOn(emptyContent)
  await servers.kill(0, 2)
  await draft.write(0, Buffer.from(bytes))
  await t.rejects(draft.store(), { code: 'readOnly' })
  t.ok((await draft.read(0, bytes.length)).equals(bytes), 'nothing is lost')
  await Promise.all([servers.start(0), servers.start(2)])
  await until(() => client.cluster.voters.length === 4)
  t.ok((await readAll(await committed(draft))).equals(bytes))
})

t.test(
  'two changes at once, and any after its end, are refused as the bugs they are',
  async (t) => {
    const broken = { code: 'ERR_ASSERTION' }
    const draft = draftOn(emptyContent)
    const first = draft.write(0, Buffer.from('first'))
    await t.rejects(draft.truncate(1), broken)
    await first
    t.equal((await draft.read(0, 10)).toString(), 'first')
    draft.release()
    await t.rejects(draft.write(0, Buffer.from('more')), broken)
    await t.rejects(draft.read(0, 1), broken)
  },
)

t.test(
  'a draft that is given up while it is spilled takes no more of the spill space',
  async (t) => {
    const before = tools.spill.usedBytes
    const draft = draftOn(emptyContent)
    for (let index = 0; index < 300; index += 1) await draft.write(index * 10, Buffer.from('x'))
    const spilled = draft.spill()
    await until(() => tools.spill.usedBytes > before)
    draft.release()
    await spilled
    t.equal(tools.spill.usedBytes, before)
  },
)
