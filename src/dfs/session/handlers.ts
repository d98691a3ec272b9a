/**
 * The table of requests that the server answers once a user has logged in, a row for each verb, which says what
 * the account must be, what becomes of votes that wait, and when the request is answered.
 */
import type { Reply, Request, Verb } from '../../wire/messages.js'
import type { Account } from '../account/account.js'
import type { Lessee } from '../account/lease.js'
import type { LentBytes } from '../pieces/piece-store.js'
import type { Uploads } from './uploads.js'

/** The means of a handler: the account of the user, and what belongs to the connection. */
export interface Context {
  readonly account: Account
  readonly uploads: Uploads
  /** The connection, where the account counts who is there. */
  readonly lessee: Lessee
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

/** A request that is synchronous and reads or changes the index: all that arrive together share one group. */
export interface NowRow<V extends ServedVerb> {
  readonly answered: 'now'
  readonly account: AccountNeed
  readonly votes: Votes
  readonly run: NowHandler<V>
}

/** A request that waits for the disk and is answered when it is done, in any order. */
export interface LaterRow<V extends ServedVerb> {
  readonly answered: 'later'
  readonly account: AccountNeed
  readonly votes: Votes
  readonly run: LaterHandler<V>
}

function now<V extends ServedVerb>(
  account: AccountNeed,
  votes: Votes,
  run: NowHandler<V>,
): NowRow<V> {
  return { answered: 'now', account, votes, run }
}

function later<V extends ServedVerb>(
  account: AccountNeed,
  votes: Votes,
  run: LaterHandler<V>,
): LaterRow<V> {
  return { answered: 'later', account, votes, run }
}

export const handlers = {
  claim: now('any', 'flushed', ({ account }, request) => account.claim(request)),
  ping: now('any', 'waiting', () => ({})),
  lease: now('any', 'waiting', ({ account, lessee }, { wanted }) =>
    wanted ? account.lease.ask(lessee) : account.lease.giveBack(lessee),
  ),
  found: now('any', 'flushed', ({ account }, request) => account.acceptor.found(request)),
  lookup: now('voting', 'flushed', ({ account: { acceptor } }, request) =>
    acceptor.reader.lookup(request),
  ),
  list: now('voting', 'flushed', ({ account: { acceptor } }, request) =>
    acceptor.reader.list(request),
  ),
  read: now('voting', 'flushed', ({ account: { acceptor } }, request) =>
    acceptor.reader.read(request),
  ),
  commit: now('voting', 'waiting', ({ account }, request, payload, entry) =>
    account.commit(request, payload, entry),
  ),
  prepare: now('notBlank', 'flushed', ({ account }, request) => account.acceptor.prepare(request)),
  accept: now('notBlank', 'flushed', ({ account }, request) => account.acceptor.accept(request)),
  decide: now('notBlank', 'flushed', ({ account }, request) => account.acceptor.decide(request)),
  install: now('notBlank', 'flushed', ({ account }, request) =>
    account.acceptor.repair.install(request),
  ),
  getSmallPieces: now('any', 'flushed', ({ account }, request) =>
    account.pieces.getSmallPieces(request),
  ),
  held: now('any', 'flushed', ({ account }, request) => account.pieces.held(request)),
  segments: now('any', 'flushed', ({ account }, request) => account.segments(request)),
  markLost: now('any', 'flushed', ({ account }, request) => account.markLost(request)),
  dropPieces: now('any', 'flushed', ({ account }, request) => account.dropPieces(request)),
  epoch: now('notBlank', 'flushed', ({ account }, request) =>
    account.acceptor.repair.epoch(request),
  ),
  fence: now('voting', 'flushed', ({ account }, request) => account.acceptor.repair.fence(request)),
  floor: now('voting', 'flushed', ({ account }, request) => account.raiseFloor(request)),
  records: now('notBlank', 'flushed', ({ account }, request) =>
    account.acceptor.repair.records(request),
  ),
  changes: now('notBlank', 'flushed', ({ account }, request) =>
    account.acceptor.repair.changes(request),
  ),
  changesDigest: now('notBlank', 'flushed', ({ account }, request) =>
    account.acceptor.repair.changesDigest(request),
  ),
  mark: now('voting', 'flushed', ({ account }, request) => account.acceptor.repair.mark(request)),
  fillStart: now('any', 'flushed', ({ account }, request) =>
    account.acceptor.repair.fillStart(request),
  ),
  fill: now('any', 'flushed', ({ account }, request) => account.acceptor.repair.fill(request)),
  fillEnd: now('any', 'flushed', ({ account }, request) =>
    account.acceptor.repair.fillEnd(request),
  ),
  rotten: now('voting', 'flushed', ({ account }, request) =>
    account.acceptor.repair.rotten(request),
  ),
  restore: now('voting', 'flushed', ({ account }, request) =>
    account.acceptor.repair.restore(request),
  ),
  orphans: now('voting', 'flushed', ({ account }, request) =>
    account.acceptor.repair.orphans(request),
  ),
  status: later('any', 'flushed', ({ account }) => account.status()),
  putPiece: later('any', 'waiting', ({ uploads }, request, payload) =>
    uploads.put(request, payload),
  ),
  getPiece: later('any', 'waiting', async ({ account }, request) => {
    const { reply, payload } = await account.pieces.getPiece(request)
    return new WithPayload(reply, payload)
  }),
  commitSynced: later('voting', 'waiting', ({ account }, request, payload, entry) =>
    account.commitSynced(request, payload, entry),
  ),
  sync: later('any', 'waiting', ({ account }, request) => account.sync(request)),
  strays: later('voting', 'waiting', ({ account }, request) => account.strays.find(request)),
  reclaim: later('voting', 'waiting', ({ account }, request) => account.strays.reclaim(request)),
} satisfies { readonly [V in ServedVerb]: NowRow<V> | LaterRow<V> }

/** Any row, for a request whose verb is known only as the program runs. */
export type Row = NowRow<ServedVerb> | LaterRow<ServedVerb>

/** The row of a verb; undefined for one of the handshake. */
export function rowOf(verb: Verb): Row | undefined {
  const rows: Readonly<Partial<Record<Verb, unknown>>> = handlers
  return Object.hasOwn(rows, verb) ? (rows[verb] as Row) : undefined
}
