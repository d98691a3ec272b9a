/** The table of the metrics of a server: names, meanings, and where they are found in what it has counted. */
import { type Metric, metricsIn, singleMetrics } from '../metric-rows.js'
import type { AccountFigures } from './account/account.js'
import type { DiskErrors } from './disk/disk-errors.js'
import type { DiskRoom } from './disk/disk-space.js'
import type { Traffic } from './session/traffic.js'

export interface ServerFigures {
  /** Connections, and of those the ones that are logged in. */
  readonly sessions: number
  readonly logins: number
  readonly traffic: Traffic
  readonly diskErrors: DiskErrors
  /** The accounts that are open: those of users who are logged in, or were a moment ago. */
  readonly accounts: readonly AccountFigures[]
}

export interface NamedFigures extends ServerFigures {
  /** The name of the server's folder. */
  readonly name: string
  readonly port: number
  /** Room of the file system with the server's folder; undefined where it does not answer. */
  readonly disk: DiskRoom | undefined
}

/** The end of the meaning of a metric of an account, which has values for as long as the account is open. */
const open = ', by user whose account is open'

export const serverMetrics: readonly Metric<NamedFigures>[] = [
  ...metricsIn(
    ['name', 'port'],
    ({ name, port }: NamedFigures) => [[{ name, port: `${port}` }, 1]],
    [['gauge', 'dfs_server_info', 'Always 1; the labels say which server this is', (one) => one]],
  ),
  ...metricsIn(
    ['state'],
    ({ sessions, logins }: NamedFigures) => [
      [{ state: 'open' }, logins],
      [{ state: 'entering' }, Math.max(0, sessions - logins)],
    ],
    [['gauge', 'dfs_server_sessions', 'Connections from clients', (count) => count]],
  ),
  ...metricsIn(
    ['verb'],
    ({ traffic }: NamedFigures) =>
      [...traffic.verbs].map(([verb, answered]) => [{ verb }, answered]),
    [
      [
        'histogram',
        'dfs_server_request_seconds',
        'Time from the arrival of a request to its answer',
        ({ latencies }) => latencies,
      ],
      [
        'counter',
        'dfs_server_request_failures_total',
        'Requests that were answered with a failure',
        ({ failures }) => failures,
      ],
    ],
  ),
  ...singleMetrics(
    ({ traffic }: NamedFigures) => traffic,
    [
      [
        'counter',
        'dfs_server_received_bytes_total',
        'Bytes that came from clients',
        ({ receivedBytes }) => receivedBytes,
      ],
      [
        'counter',
        'dfs_server_sent_bytes_total',
        'Bytes that were sent to clients',
        ({ sentBytes }) => sentBytes,
      ],
    ],
  ),
  ...metricsIn(
    ['outcome'],
    ({ traffic }: NamedFigures) =>
      [...traffic.votes].map(([outcome, count]) => [{ outcome }, count]),
    [['counter', 'dfs_server_votes_total', 'Votes on transactions, by outcome', (count) => count]],
  ),
  ...singleMetrics(
    ({ disk }: NamedFigures) => disk,
    [
      [
        'gauge',
        'dfs_server_disk_bytes',
        "Size of the file system with the server's folder",
        (disk) => disk?.bytes,
      ],
      [
        'gauge',
        'dfs_server_disk_free_bytes',
        'Bytes that can still be written there',
        (disk) => disk?.freeBytes,
      ],
    ],
  ),
  ...metricsIn(
    ['kind'],
    ({ diskErrors }: NamedFigures) =>
      [...diskErrors.counts].map(([kind, count]) => [{ kind }, count]),
    [
      [
        'counter',
        'dfs_server_disk_errors_total',
        'What could not be done because the disk is full, has failed, or gave an index that is damaged',
        (count) => count,
      ],
    ],
  ),
  ...metricsIn(
    ['user', 'state'],
    ({ accounts }: NamedFigures) => accounts.map(({ user, state }) => [{ user, state }, state]),
    [
      [
        'gauge',
        'dfs_server_account_voting',
        `Whether the account takes part in votes (1), or waits for repair (0)${open}`,
        (state) => (state === 'voting' ? 1 : 0),
      ],
    ],
  ),
  ...metricsIn(
    ['user'],
    ({ accounts }: NamedFigures) => accounts.map((account) => [{ user: account.user }, account]),
    [
      ['gauge', 'dfs_server_account_registers', `Names and inodes${open}`, (a) => a.registers],
      ['gauge', 'dfs_server_account_pieces', `Pieces of segments${open}`, (a) => a.pieces],
      ['gauge', 'dfs_server_account_piece_bytes', `Bytes of pieces${open}`, (a) => a.pieceBytes],
      [
        'gauge',
        'dfs_server_account_undecided',
        `Transactions not decided${open}`,
        (a) => a.undecided,
      ],
      [
        'gauge',
        'dfs_server_account_segments_misplaced',
        `Segments with a piece on another server than its home${open}`,
        (a) => a.misplaced,
      ],
      [
        'gauge',
        'dfs_server_account_segments_lost',
        `Segments with a piece that is lost for good${open}`,
        (a) => a.lost,
      ],
      ['gauge', 'dfs_server_account_quota_bytes', `Quota in bytes${open}`, (a) => a.quotaBytes],
    ],
  ),
]
