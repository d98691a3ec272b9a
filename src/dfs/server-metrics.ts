/** The table of the metrics of a server: names, meanings, and where they are found in what it has counted. */
import type { Metric } from '../metrics.js'
import type { AccountFigures } from './account/account.js'
import type { Traffic } from './session/traffic.js'

export interface ServerFigures {
  /** Connections, and of those the ones that are logged in. */
  readonly sessions: number
  readonly logins: number
  readonly traffic: Traffic
  /** The accounts that are open: those of users who are logged in, or were a moment ago. */
  readonly accounts: readonly AccountFigures[]
}

export interface NamedFigures extends ServerFigures {
  /** The name of the server's folder. */
  readonly name: string
  readonly port: number
}

type Row = Metric<NamedFigures>

/** A row with one value for each account that is open. */
function account(
  name: string,
  help: string,
  read: (figures: AccountFigures) => number | undefined,
): Row {
  return {
    name,
    help: `${help}, by user whose account is open`,
    type: 'gauge',
    labels: ['user'],
    values: ({ accounts }) =>
      accounts.flatMap((figures) => {
        const value = read(figures)
        return value === undefined ? [] : [[{ user: figures.user }, value] as const]
      }),
  }
}

export const serverMetrics: readonly Row[] = [
  {
    name: 'dfs_server_info',
    help: 'Always 1; the labels say which server this is',
    type: 'gauge',
    labels: ['name', 'port'],
    values: ({ name, port }) => [[{ name, port: `${port}` }, 1]],
  },
  {
    name: 'dfs_server_sessions',
    help: 'Connections from clients',
    type: 'gauge',
    labels: ['state'],
    values: ({ sessions, logins }) => [
      [{ state: 'open' }, logins],
      [{ state: 'entering' }, Math.max(0, sessions - logins)],
    ],
  },
  {
    name: 'dfs_server_request_seconds',
    help: 'Time from the arrival of a request to its answer',
    type: 'histogram',
    labels: ['verb'],
    values: ({ traffic }) =>
      [...traffic.verbs].map(([verb, { latencies }]) => [{ verb }, latencies]),
  },
  {
    name: 'dfs_server_request_failures_total',
    help: 'Requests that were answered with a failure',
    type: 'counter',
    labels: ['verb'],
    values: ({ traffic }) => [...traffic.verbs].map(([verb, { failures }]) => [{ verb }, failures]),
  },
  {
    name: 'dfs_server_received_bytes_total',
    help: 'Bytes that came from clients',
    type: 'counter',
    values: ({ traffic }) => [[{}, traffic.receivedBytes]],
  },
  {
    name: 'dfs_server_sent_bytes_total',
    help: 'Bytes that were sent to clients',
    type: 'counter',
    values: ({ traffic }) => [[{}, traffic.sentBytes]],
  },
  {
    name: 'dfs_server_votes_total',
    help: 'Votes on transactions, by outcome',
    type: 'counter',
    labels: ['outcome'],
    values: ({ traffic }) => [...traffic.votes].map(([outcome, count]) => [{ outcome }, count]),
  },
  {
    name: 'dfs_server_account_voting',
    help: 'Whether the account takes part in votes (1), or waits for repair (0), by user whose account is open',
    type: 'gauge',
    labels: ['user', 'state'],
    values: ({ accounts }) =>
      accounts.map(({ user, state }) => [{ user, state }, state === 'voting' ? 1 : 0]),
  },
  account('dfs_server_account_registers', 'Names and inodes', ({ registers }) => registers),
  account('dfs_server_account_pieces', 'Pieces of segments', ({ pieces }) => pieces),
  account('dfs_server_account_piece_bytes', 'Bytes of pieces', ({ pieceBytes }) => pieceBytes),
  account('dfs_server_account_undecided', 'Transactions not decided', ({ undecided }) => undecided),
  account(
    'dfs_server_account_segments_misplaced',
    'Segments with a piece on another server than its home',
    ({ misplaced }) => misplaced,
  ),
  account(
    'dfs_server_account_segments_lost',
    'Segments with a piece that is lost for good',
    ({ lost }) => lost,
  ),
  account('dfs_server_account_quota_bytes', 'Quota in bytes', ({ quotaBytes }) => quotaBytes),
]
