import t from 'tap'
import { handlers, partsOf, rowOf, type ServedVerb } from '../../../src/dfs/session/handlers.js'
import { limits } from '../../../src/limits.js'
import { checksumsOf } from '../../../src/wire/checksum.js'
import { type Codec, encode } from '../../../src/wire/codec.js'
import { messages, type Reply, type Request, type Verb } from '../../../src/wire/messages.js'
import { encodeEntry, entryKey, fileType, inodeKey } from '../../../src/wire/records.js'
import { noVersion, versionOf } from '../../../src/wire/version.js'
import { beginAccount } from '../../fixtures/bystander.js'
import { sampleInode } from '../../fixtures/inodes.js'
import { startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'
import { samples } from '../../fixtures/samples.js'
import { Seeded } from '../../fixtures/seeded.js'

const verbs = Object.keys(messages) as Verb[]

t.test('every message but those of the handshake has a row', async (t) => {
  t.same(
    verbs.filter((verb) => rowOf(verb) === undefined),
    ['hello', 'authenticate'],
  )
  t.equal(Object.keys(handlers).length, verbs.length - 2)
})

t.test('a blank account does nothing that needs one which votes or has content', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  const random = new Seeded(7)
  const refused = verbs.filter((verb) => (rowOf(verb)?.account ?? 'any') !== 'any')
  for (const verb of ['commit', 'commitSynced', 'read', 'list', 'prepare', 'accept'] as const) {
    t.ok(refused.includes(verb), `${verb} is one of them`)
  }
  for (const verb of refused) {
    const request = samples[verb].request(random) as never
    await t.rejects(client.call(verb, request), { code: 'blank' }, verb)
  }
})

/** Longest list in an answer, and the bytes of it all. */
function sizeOf<V extends Verb>(verb: V, reply: Reply<V>, payload: Buffer) {
  const lists = Object.values(reply as object).filter((value) => Array.isArray(value))
  const items = Math.max(0, ...lists.map((list: readonly unknown[]) => list.length))
  const bytes = encode(messages[verb].reply as Codec<unknown>, reply).length + payload.length
  return { items, bytes }
}

const greed = 0xffff_ffff
const version = (count: number): string => versionOf(1_000_000 + count, 0, '0badcafe')
const large = sampleInode({
  mode: fileType.folder | 0o755,
  attributes: Array.from({ length: 9 }, (_, index) => ({
    name: `user.${index}`,
    value: Buffer.alloc(limits.attributeValueBytesMax, index),
  })),
})
const deep = Array.from({ length: limits.lookupNamesMax }, () => 'd')
const segmentIds = Array.from({ length: limits.segmentsPerRequestMax }, (_, index) =>
  index.toString(16).padStart(32, '0'),
)
const smallBytes = Buffer.alloc(limits.smallPieceBytesMax, 7)

/** Folders inside one another and as many files in the root as a page has, most of them with large inodes. */
async function fill(client: RawClient): Promise<void> {
  await beginAccount(client)
  const folder = encodeEntry({ ino: 0, type: fileType.folder >> 12 })
  for (let ino = 2; ino < 2 + deep.length; ino += 1) {
    const entry = encodeEntry({ ino, type: fileType.folder >> 12 })
    const names = [entryKey(ino === 2 ? 1 : ino - 1, 'd'), entryKey(1, `large ${ino}`)]
    const entries = names.map((key) => ({ key, version: version(ino), value: entry }))
    await client.call('install', {
      registers: [{ key: inodeKey(ino), version: version(ino), value: large }, ...entries],
    })
  }
  for (let count = 0; count < 3000; count += 200) {
    const registers = Array.from({ length: 200 }, (_, index) => ({
      key: entryKey(1, `name ${count + index}`),
      version: version(100),
      value: folder,
    }))
    await client.call('install', { registers })
  }
  const checksums = checksumsOf(smallBytes)
  for (const segment of segmentIds) {
    const place = { segment, piece: 1, pieceLength: smallBytes.length, offset: 0 }
    const [, bytes] = client.bytes('putPiece', { ...place, checksums }, smallBytes)
    client.send(bytes)
  }
  await client.call('sync', { segments: [] })
}

/** A request of each verb that asks for as much as its codec lets through, where the verb tells anything. */
const greedy: { readonly [V in ServedVerb]?: Request<V> } = {
  lookup: { parent: 1, names: deep },
  list: { folder: 1, after: '', entriesMax: greed, withHeldPieces: true },
  listFolders: { folders: new Array<number>(limits.listFoldersMax).fill(1) },
  read: { keys: Array.from({ length: limits.readKeysMax }, (_, index) => inodeKey(2 + index)) },
  getSmallPieces: {
    pieces: segmentIds
      .slice(0, limits.smallPiecesPerRequestMax)
      .map((segment) => ({ segment, piece: 1 })),
  },
  held: { segments: segmentIds },
  segments: { after: '', misplacedOnly: false, limit: greed },
  records: { after: noVersion, undecidedOnly: false, limit: greed },
  changes: { afterVersion: noVersion, afterKey: '', withValues: false, limit: greed },
  changesDigest: { afterVersion: noVersion, afterKey: '', limit: greed },
  rotten: { limit: greed },
  orphans: { before: version(1_000_000), limit: greed },
  getPiece: { segment: segmentIds[0] ?? '', piece: 1, offset: 0, length: greed },
  decide: {
    decisions: Array.from({ length: limits.settlesMax }, (_, index) => ({
      id: version(1000 + index),
      commit: false,
      body: null,
      spares: [],
    })),
  },
  status: {},
  sync: { segments: segmentIds },
}

t.test('no answer is more than the table says, whatever is asked for', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  await fill(client)
  for (const [verb, request] of Object.entries(greedy) as [ServedVerb, never][]) {
    const { itemsMax, bytesMax } = handlers[verb].answer
    const { reply, payload } = await client.ask(verb, request)
    const { items, bytes } = sizeOf(verb, reply as never, payload)
    t.ok(items <= itemsMax && bytes <= bytesMax, `${verb}: ${items} items, ${bytes} bytes`)
  }
  for (const verb of Object.keys(handlers) as ServedVerb[]) {
    const lists = Object.values(samples[verb].reply(new Seeded(1))).some(Array.isArray)
    const tells = lists || messages[verb].payload === 'reply'
    t.equal(handlers[verb].answer.itemsMax > 0, tells, `${verb}: whether its answer has a list`)
    t.ok(!tells || greedy[verb] !== undefined, `${verb} is asked for much`)
  }
})

t.test('a few bytes do not make a server read all that a user has', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  await fill(client)
  const { steps } = await client.call('lookup', { parent: 1, names: deep })
  t.ok(steps.length < 3, `${steps.length} steps with large inodes`)
  const list = { folder: 1, after: '', entriesMax: greed, withHeldPieces: false }
  const page = await client.call('list', list)
  t.ok(page.more && page.entries.length < 3, `${page.entries.length} entries with large inodes`)
  const from = { afterVersion: noVersion, afterKey: '', limit: greed }
  const { count, more } = await client.call('changesDigest', from)
  t.ok(more && count < 30, `a digest of ${count} registers`)
  const { registers: changed } = await client.call('changes', { ...from, withValues: false })
  t.ok(changed.length < 30, `${changed.length} changes`)
})

t.test('a request that is taken apart is answered as if it were not', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  await fill(client)
  const { held } = await client.call('held', { segments: [...segmentIds].reverse() })
  t.same(
    held,
    segmentIds.map(() => ({ pieces: 1, lost: 0, referred: false })),
  )
  const register = (index: number) => ({
    key: inodeKey(5000 + index),
    version: version(3000),
    value: sampleInode({ size: index }),
  })
  const registers = Array.from({ length: 100 }, (_, index) => register(index))
  await client.call('install', { registers })
  const keys = registers.map(({ key }) => key)
  const { registers: seen } = await client.call('read', { keys })
  t.same(
    seen.map(({ register: { value } }) => value),
    registers.map(({ value }) => value),
  )
  const bad = { ...register(150), value: Buffer.from('not an inode') }
  const mixed = [...Array.from({ length: 60 }, (_, index) => register(200 + index)), bad]
  const more = Array.from({ length: 60 }, (_, index) => register(300 + index))
  const failing = client.ask('install', { registers: [...mixed, ...more] })
  const behind = client.ask('ping', {})
  await t.rejects(failing, { code: 'protocol' }, 'it fails as a whole, with one answer')
  t.same((await behind).reply, {})
  t.same(client.failures, [])
})

t.test('the parts of a request have all that it has, once', async (t) => {
  for (const verb of Object.keys(handlers) as ServedVerb[]) {
    const row = rowOf(verb)
    const sizes = row?.answered === 'now' ? row.parts : undefined
    if (sizes === undefined) continue
    const one = samples[verb].request(new Seeded(5)) as Record<string, unknown>
    const lists = Object.keys(sizes)
    const request = Object.fromEntries(
      Object.entries(one).map(([field, value]) => [
        field,
        lists.includes(field) ? Array.from({ length: 500 }, (_, index) => index) : value,
      ]),
    )
    const parts = partsOf(request as never, sizes) as readonly Record<string, number[]>[]
    for (const list of lists)
      t.same(
        parts.flatMap((part) => part[list]),
        request[list],
        verb,
      )
    for (const part of parts) t.same(Object.keys(part), Object.keys(request), verb)
  }
})
