/**
 * The table of requests that the server answers once a user has logged in, a row for each verb, which says what
 * the account must be, what becomes of votes that wait, how much one answer holds, and when the request is answered.
 */
import { limits } from '../../limits.js'
import type { Reply, Request, Verb } from '../../wire/messages.js'
import type { Account } from '../account/account.js'
import type { Lessee } from '../account/lease.js'
import type { LentBytes } from '../pieces/piece-store.js'
import type { Traffic } from './traffic.js'
import type { Uploads } from './uploads.js'

/** The means of a handler: the account of the user, and what belongs to the connection. */
export interface Context {
  readonly account: Account
  /** The version of the protocol that the connection speaks. */
  readonly version: number
  readonly uploads: Uploads
  /** The connection, where the account counts who is there. */
  readonly lessee: Lessee
  readonly traffic: Traffic
}

/** A reply with raw bytes behind it, which are given back when they were sent. */
export class WithPayload<R> {
  readonly reply: R
  readonly payload: LentBytes

  constructor(reply: R, payload: LentBytes) {
    this.reply = reply
    this.payload = payload
  }
}

/** The standing that a request needs of the account. */
type AccountNeed = Parameters<Account['acceptor']['assertIs']>[0]

/** `hello` and `authenticate` belong to the handshake. */
export type ServedVerb = Exclude<Verb, 'hello' | 'authenticate'>

/**
 * Whether votes that are only logged, and decisions that came with them, may go on `waiting`, or must be
 * `flushed` to the index before the request is run, because it could tell the difference.
 */
type Votes = 'waiting' | 'flushed'

/**
 * Bounds of one answer, so that no request of a few bytes makes a server read and send what it likes: the most items of
 * the list in it, 0 where it has none, and the most bytes of its fields and payload.
 */
export interface AnswerBounds {
  readonly itemsMax: number
  readonly bytesMax: number
}

/** `entry`: the fields and the payload as they came. */
type NowHandler<V extends ServedVerb> = (
  context: Context,
  request: Request<V>,
  payload: Buffer,
  entry: Buffer,
) => Reply<V>

type LaterHandler<V extends ServedVerb> = (
  context: Context,
  request: Request<V>,
  payload: Buffer,
  entry: Buffer,
) => Promise<Reply<V> | WithPayload<Reply<V>>>

/** For lists of a request, how many items a part of it has, which then has no items of the other lists. */
export type PartSizes<V extends ServedVerb> = { readonly [F in keyof Request<V>]?: number }

/** A request that is synchronous and reads or changes the index: all that arrive together share one group. */
export interface NowRow<V extends ServedVerb> {
  readonly answered: 'now'
  readonly account: AccountNeed
  readonly votes: Votes
  readonly answer: AnswerBounds
  readonly run: NowHandler<V>
  /** Into which parts it is taken before it is run, for one that may take long. */
  readonly parts?: PartSizes<V>
}

/** A request that waits for the disk and is answered when it is done, in any order. */
export interface LaterRow<V extends ServedVerb> {
  readonly answered: 'later'
  readonly account: AccountNeed
  readonly votes: Votes
  readonly answer: AnswerBounds
  readonly run: LaterHandler<V>
}

function now<V extends ServedVerb>(
  account: AccountNeed,
  votes: Votes,
  answer: AnswerBounds,
  run: NowHandler<V>,
  parts?: PartSizes<V>,
): NowRow<V> {
  return { answered: 'now', account, votes, answer, run, ...(parts && { parts }) }
}

function later<V extends ServedVerb>(
  account: AccountNeed,
  votes: Votes,
  answer: AnswerBounds,
  run: LaterHandler<V>,
): LaterRow<V> {
  return { answered: 'later', account, votes, answer, run }
}

const { framePayloadBytesMax, keyBytesMax, listBytesMax, registerValueBytesMax } = limits

/** Bytes of fields that are there once, and of what an item has beside its name, key or value. */
const fieldBytes = 2048
const itemBytes = 256

/** An answer without a list. */
const short: AnswerBounds = { itemsMax: 0, bytesMax: fieldBytes }

/** Up to `itemsMax` items that have no more than `bytes` each. */
function items(itemsMax: number, bytes = itemBytes): AnswerBounds {
  return { itemsMax, bytesMax: fieldBytes + itemsMax * bytes }
}

/** Up to `itemsMax` registers, of which the last one may come in addition to `listBytesMax`, as may a folder's own. */
function registers(itemsMax: number, ofEach = itemBytes): AnswerBounds {
  const values = listBytesMax + 2 * registerValueBytesMax
  return { itemsMax, bytesMax: fieldBytes + values + itemsMax * ofEach }
}

/** The transaction in an answer came in a frame, and is no longer than that. */
const transaction: AnswerBounds = { itemsMax: 0, bytesMax: limits.frameBytesMax }

export const handlers = {
  claim: now('any', 'flushed', short, ({ account }, request) => account.claim(request)),
  ping: now('any', 'waiting', short, () => ({})),
  lease: now('any', 'waiting', short, ({ account, lessee }, { wanted }) =>
    wanted ? account.lease.ask(lessee) : account.lease.giveBack(lessee),
  ),
  found: now('any', 'flushed', short, ({ account }, request) => account.acceptor.found(request)),
  lookup: now(
    'voting',
    'flushed',
    registers(limits.lookupNamesMax),
    ({ account: { acceptor } }, request) => acceptor.reader.lookup(request),
  ),
  list: now(
    'voting',
    'flushed',
    registers(limits.listEntriesMax, itemBytes + keyBytesMax),
    ({ account: { acceptor } }, request) => acceptor.reader.list(request),
  ),
  listFolders: now(
    'voting',
    'flushed',
    registers(limits.listEntriesMax + limits.listFoldersMax, itemBytes + keyBytesMax),
    ({ account: { acceptor } }, request) => acceptor.reader.listFolders(request),
  ),
  read: now(
    'voting',
    'flushed',
    registers(limits.readKeysMax),
    ({ account: { acceptor } }, request) => acceptor.reader.read(request),
  ),
  commit: now('voting', 'waiting', short, ({ account, traffic }, request, payload, entry) =>
    traffic.voted(account.commit(request, payload, entry)),
  ),
  prepare: now('notBlank', 'flushed', transaction, ({ account }, request) =>
    account.acceptor.prepare(request),
  ),
  accept: now('notBlank', 'flushed', transaction, ({ account }, request) =>
    account.acceptor.accept(request),
  ),
  decide: now(
    'notBlank',
    'flushed',
    items(limits.settlesMax, 1),
    ({ account }, request) => account.acceptor.decide(request),
    { decisions: 8 },
  ),
  install: now(
    'notBlank',
    'flushed',
    short,
    ({ account }, request) => account.acceptor.repair.install(request),
    { registers: 8 },
  ),
  getSmallPieces: now(
    'any',
    'flushed',
    items(limits.smallPiecesPerRequestMax, limits.smallPieceBytesMax + itemBytes),
    ({ account }, request) => account.pieces.getSmallPieces(request),
  ),
  held: now(
    'any',
    'flushed',
    items(limits.segmentsPerRequestMax, 3),
    ({ account }, request) => account.pieces.held(request),
    { segments: 128 },
  ),
  segments: now('any', 'flushed', items(limits.surveyEntriesMax), ({ account }, request) =>
    account.segments(request),
  ),
  markLost: now('any', 'flushed', short, ({ account }, request) => account.markLost(request), {
    marks: 128,
  }),
  dropPieces: now('any', 'flushed', short, ({ account, uploads }, request) => {
    uploads.drop(request)
    return account.dropPieces(request)
  }),
  epoch: now('notBlank', 'flushed', short, ({ account }, request) =>
    account.acceptor.repair.epoch(request),
  ),
  fence: now('voting', 'flushed', short, ({ account }, request) =>
    account.acceptor.repair.fence(request),
  ),
  floor: now('voting', 'flushed', short, ({ account }, request) => account.raiseFloor(request)),
  records: now('notBlank', 'flushed', items(limits.surveyEntriesMax), ({ account }, request) =>
    account.acceptor.repair.records(request),
  ),
  changes: now(
    'notBlank',
    'flushed',
    registers(limits.surveyEntriesMax, itemBytes + keyBytesMax),
    ({ account }, request) => account.acceptor.repair.changes(request),
  ),
  changesDigest: now('notBlank', 'flushed', short, ({ account }, request) =>
    account.acceptor.repair.changesDigest(request),
  ),
  mark: now(
    'voting',
    'flushed',
    short,
    ({ account }, request) => account.acceptor.repair.mark(request),
    { decisions: 64 },
  ),
  fillStart: now('any', 'flushed', short, ({ account }, request) =>
    account.acceptor.repair.fillStart(request),
  ),
  fill: now(
    'any',
    'flushed',
    short,
    ({ account }, request) => account.acceptor.repair.fill(request),
    { registers: 8, decisions: 64 },
  ),
  fillEnd: now('any', 'flushed', short, ({ account }, request) =>
    account.acceptor.repair.fillEnd(request),
  ),
  rotten: now(
    'voting',
    'flushed',
    items(limits.readKeysMax, keyBytesMax + 2),
    ({ account }, request) => account.acceptor.repair.rotten(request),
  ),
  restore: now('voting', 'flushed', short, ({ account }, request) =>
    account.acceptor.repair.restore(request),
  ),
  orphans: now('voting', 'flushed', items(limits.readKeysMax, 8), ({ account }, request) =>
    account.acceptor.repair.orphans(request),
  ),
  status: later('any', 'flushed', short, ({ account }) => account.status()),
  putPiece: later('any', 'waiting', short, ({ uploads }, request, payload) =>
    uploads.put(request, payload),
  ),
  getPiece: later(
    'any',
    'waiting',
    {
      itemsMax: framePayloadBytesMax / limits.blockBytes + 1,
      bytesMax: framePayloadBytesMax + fieldBytes,
    },
    async ({ account }, request) => {
      const { reply, payload } = await account.pieces.getPiece(request)
      return new WithPayload(reply, payload)
    },
  ),
  commitSynced: later(
    'voting',
    'waiting',
    short,
    async ({ account, traffic }, request, payload, entry) =>
      traffic.voted(await account.commitSynced(request, payload, entry)),
  ),
  sync: later('any', 'waiting', short, ({ account }, request) => account.sync(request)),
  strays: later('voting', 'waiting', short, ({ account }, request) => account.strays.find(request)),
  reclaim: later('voting', 'waiting', short, ({ account }, request) =>
    account.strays.reclaim(request),
  ),
} satisfies { readonly [V in ServedVerb]: NowRow<V> | LaterRow<V> }

/** Any row, for a request whose verb is known only as the program runs. */
export type Row = NowRow<ServedVerb> | LaterRow<ServedVerb>

/** The row of a verb; undefined for one of the handshake. */
export function rowOf(verb: Verb): Row | undefined {
  const rows: Readonly<Partial<Record<Verb, unknown>>> = handlers
  return Object.hasOwn(rows, verb) ? (rows[verb] as Row) : undefined
}

/** Takes a request apart. Its parts have the same effect, one after the other, and replies that can be joined. */
export function partsOf<V extends ServedVerb>(
  request: Request<V>,
  sizes: PartSizes<V>,
): readonly Request<V>[] {
  const lists = Object.keys(sizes) as (keyof Request<V>)[]
  const none = Object.fromEntries(lists.map((list) => [list, []]))
  return lists.flatMap((list) => {
    const items = request[list] as readonly unknown[]
    const size = sizes[list] ?? items.length
    return Array.from({ length: Math.ceil(items.length / size) }, (_, part) => {
      const some = items.slice(part * size, (part + 1) * size)
      return { ...request, ...none, [list]: some } as Request<V>
    })
  })
}

/** The reply to a request of the replies to its parts: their lists one behind the other, all else as it was last. */
export function joined(replies: readonly unknown[]): unknown {
  const [first, last] = [replies[0], replies.at(-1)] as [object, object]
  const lists = Object.keys(first).filter((field) => Array.isArray(first[field as never]))
  const whole = lists.map((field) => [
    field,
    replies.flatMap((reply) => (reply as Record<string, unknown>)[field]),
  ])
  return { ...last, ...Object.fromEntries(whole) }
}
