/**
 * What the server can do once somebody has logged in, as two tables. Those in `now` are synchronous
 * and read or change the index: all that arrive together share one transaction. Those in `later`
 * wait for the disk and are answered when they are done, in any order.
 */
import type { Reply, Request, Verb } from '../../wire/messages.js'
import type { Account } from '../account/account.js'
import type { Lessee } from '../account/lease.js'
import type { Identity } from '../disk/identity.js'
import type { LentBytes } from '../pieces/piece-store.js'
import type { Uploads } from './uploads.js'

/** What a handler may use: the account of the user, and what belongs to the connection. */
export interface Context {
  readonly account: Account
  readonly uploads: Uploads
  readonly identity: Identity
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

export type LaterVerb =
  | 'status'
  | 'putPiece'
  | 'getPiece'
  | 'commitSynced'
  | 'sync'
  | 'strays'
  | 'reclaim'
/** `hello` and `authenticate` belong to the handshake. */
export type NowVerb = Exclude<Verb, LaterVerb | 'hello' | 'authenticate'>

/** `entry`: the fields and the payload as they came. */
export type NowHandler<V extends Verb> = (
  context: Context,
  request: Request<V>,
  payload: Buffer,
  entry: Buffer,
) => Reply<V>

export type LaterHandler<V extends Verb> = (
  context: Context,
  request: Request<V>,
  payload: Buffer,
  entry: Buffer,
) => Promise<Reply<V> | WithPayload<Reply<V>>>

export interface Handlers {
  readonly now: { readonly [V in NowVerb]: NowHandler<V> }
  readonly later: { readonly [V in LaterVerb]: LaterHandler<V> }
}

export const handlers = {
  now: {
    claim({ identity }, { cluster, position }) {
      identity.claim(cluster, position)
      return {}
    },
    ping: () => ({}),
    lease: ({ account, lessee }, { wanted }) =>
      wanted ? account.lease.ask(lessee) : account.lease.giveBack(lessee),
    found: ({ account }, request) => account.acceptor.found(request),
    lookup: ({ account }, request) => account.acceptor.reader.lookup(request),
    list: ({ account }, request) => account.acceptor.reader.list(request),
    read: ({ account }, request) => account.acceptor.reader.read(request),
    commit: ({ account }, request, payload, entry) => account.commit(request, payload, entry),
    prepare: ({ account }, request) => account.acceptor.prepare(request),
    accept: ({ account }, request) => account.acceptor.accept(request),
    decide: ({ account }, request) => account.acceptor.decide(request),
    install: ({ account }, request) => account.acceptor.repair.install(request),
    getSmallPieces: ({ account }, request) => account.getSmallPieces(request),
    held: ({ account }, request) => account.held(request),
    segments: ({ account }, request) => account.segments(request),
    markLost: ({ account }, request) => account.markLost(request),
    dropPieces: ({ account }, request) => account.dropPieces(request),
    epoch: ({ account }, request) => account.acceptor.repair.epoch(request),
    fence: ({ account }, request) => account.acceptor.repair.fence(request),
    floor: ({ account }, request) => account.raiseFloor(request),
    records: ({ account }, request) => account.acceptor.repair.records(request),
    changes: ({ account }, request) => account.acceptor.repair.changes(request),
    changesDigest: ({ account }, request) => account.acceptor.repair.changesDigest(request),
    mark: ({ account }, request) => account.acceptor.repair.mark(request),
    fillStart: ({ account }, request) => account.acceptor.repair.fillStart(request),
    fill: ({ account }, request) => account.acceptor.repair.fill(request),
    fillEnd: ({ account }, request) => account.acceptor.repair.fillEnd(request),
    rotten: ({ account }, request) => account.acceptor.repair.rotten(request),
    restore: ({ account }, request) => account.acceptor.repair.restore(request),
    orphans: ({ account }, request) => account.acceptor.repair.orphans(request),
  },
  later: {
    status: ({ account }) => account.status(),
    putPiece: ({ uploads }, request, payload) => uploads.put(request, payload),
    async getPiece({ account }, request) {
      const { reply, payload } = await account.getPiece(request)
      return new WithPayload(reply, payload)
    },
    commitSynced: ({ account }, request, payload, entry) =>
      account.commitSynced(request, payload, entry),
    sync: ({ account }, request) => account.sync(request),
    strays: ({ account }, request) => account.findStrays(request),
    reclaim: ({ account }, request) => account.reclaim(request),
  },
} satisfies Handlers

export function isNowVerb(verb: Verb): verb is NowVerb {
  return Object.hasOwn(handlers.now, verb)
}

export function isLaterVerb(verb: Verb): verb is LaterVerb {
  return Object.hasOwn(handlers.later, verb)
}
