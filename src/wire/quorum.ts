/**
 * Every majority of the system, and why any two that must meet do: docs/decisions/0001 as arithmetic. Of
 * four servers, sets of `a` and of `b` have at least `a + b - 4` servers in common:
 *
 *     a commit        X X X .      three yeses
 *     a ballot        . X X X      three promises: two servers, at least, have seen both
 *     a read          . . X X      two replies: one server, at least, has voted for the commit
 *
 * No number can be lowered: the assertions fail when the program begins.
 */
import assert from 'node:assert/strict'
import { limits } from '../limits.js'

export const quorum = {
  /** Yeses that commit a transaction. */
  commit: 3,
  /** Promises that a ballot needs before it proposes a decision. */
  promise: 3,
  /** Servers that accept the decision of one ballot, which is final then. */
  accept: 3,
  /** Fewest servers that hold a transaction which a ballot commits: no rule commits with fewer. */
  holders: 2,
  /** Replies that decide a read when no in-doubt transaction may have written the register. */
  read: 2,
  /** Servers that lack a lock, which shows that its transaction was not committed when they answered. */
  lacking: 2,
  /** Replies after which no further one can tell more about a locked register. */
  settle: 3,
  /** Leases with which a client is alone: no other client can change anything unnoticed. */
  lease: 3,
  /** Disks that an fsync waits for. */
  sync: 3,
  /** Servers that an account which does not vote is filled from. */
  donor: 3,
  /** Other servers that outvote a corrupt register. */
  confirm: 2,
  /** Servers that must show what was decided before it is believed, or copied: a single one may lie. */
  believe: 2,
  /** Servers that must still refer to a segment before pieces of it are marked as lost. */
  refer: 3,
  /**
   * Servers that have every piece of a segment between them, whichever they are: a segment is stored with and read
   * from as many.
   */
  pieces: 3,
  /** Servers' clocks that must be known before a wrong one can be told. */
  clocks: 3,
  /** Servers that must have a fence before it counts. */
  fence: 2,
} as const

export type Quorum = Readonly<Record<keyof typeof quorum, number>>

assertIntersections(quorum)

/** Throws an `AssertionError` that names two majorities that do not meet. */
export function assertIntersections(q: Quorum): void {
  const servers = limits.serverCount
  assertTransactions(q, servers)
  assertReads(q, servers)
  assertRepairs(q, servers)
  assert(q.pieces + limits.pieceCopies > servers, 'servers enough for a segment have every piece')
  assert(
    2 * (q.clocks - 1) > q.clocks,
    'the right clocks are a majority when a single one is wrong',
  )
  assert(q.fence > 1, 'a single server, whose clock may be ahead, raises no fence')
}

function assertTransactions(q: Quorum, servers: number): void {
  assert(q.commit + q.commit > servers, 'of two transactions in conflict one is refused')
  assert(q.commit + q.promise > servers, 'a ballot sees every commit')
  assert(q.commit + q.commit + q.promise > 2 * servers, 'a ballot sees which of two was committed')
  assert(q.promise + q.accept > servers, 'a ballot sees what an earlier one has decided')
  assert(q.holders === q.commit - (servers - q.promise), 'a ballot may miss votes out of its reach')
  assert(q.commit + q.lease > servers + 1, 'two servers with a lease notice every foreign commit')
}

function assertReads(q: Quorum, servers: number): void {
  assert(q.commit + q.read > servers, 'a read sees every commit')
  assert(q.accept + q.read > servers, 'a read sees the locks of what a ballot commits')
  assert(q.commit + q.lacking > servers, 'what so many servers lack was not committed')
  assert(q.settle > q.lacking, 'a lock that was seen is lacked by others than its holder')
  assert(q.believe > 1, 'a single server, which may lie, is not believed')
  assert(q.commit + q.settle - servers >= q.believe, 'so many replies show every commit twice')
  assert(q.refer + q.read > servers, 'what so many servers refer to is in use for every read')
}

function assertRepairs(q: Quorum, servers: number): void {
  assert(q.sync + q.promise >= servers + q.holders, 'a ballot commits what was synced')
  assert(q.donor >= q.promise, 'the donors of a fill can recover without the one that is filled')
  assert(q.donor + q.commit - 1 > servers, 'donors know a commit that the filled server voted for')
  assert(
    q.commit - 1 >= q.believe,
    'a commit can be copied when a server that voted for it is lost',
  )
  assert(
    q.confirm + (q.commit - 1) > servers - 1,
    'of the servers besides a rotten one so many see every commit',
  )
}
