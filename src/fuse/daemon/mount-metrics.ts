/** The table of the metrics of a mount: names, meanings, and where they are found in what it has counted. */
import { type ClientFigures, serverStates } from '../../dfc/figures.js'
import { type Metric, metricsIn, singleMetrics } from '../../metric-rows.js'
import type { MountCounters } from '../../mount-figures.js'

type Figures = MountCounters<ClientFigures>

const isTrue = (value: boolean): number => (value ? 1 : 0)

export const mountMetrics: readonly Metric<Figures>[] = [
  ...metricsIn(['user'], ({ client: { user } }: Figures) => [[{ user }, 1]], [
    ['gauge', 'dfs_mount_info', 'Always 1; the label says whose files are mounted', (one) => one],
  ]),
  ...metricsIn(
    ['operation'],
    ({ operations }: Figures) => operations.map((one) => [{ operation: one.name }, one]),
    [
      [
        'histogram',
        'dfs_mount_operation_seconds',
        'Time from a request of the kernel to its answer',
        ({ latencies }) => latencies,
      ],
      [
        'counter',
        'dfs_mount_operation_errors_total',
        'Requests of the kernel that failed: servers missing, no room, too late. That a name does not exist is no failure',
        ({ failures }) => failures,
      ],
    ],
  ),
  ...metricsIn(
    ['errno'],
    ({ errnos }: Figures) => errnos.map(({ name, count }) => [{ errno: name }, count]),
    [
      [
        'counter',
        'dfs_mount_error_answers_total',
        'Requests of the kernel that were answered with an error, by its name; most of ENOENT and ENODATA are nothing wrong',
        (count) => count,
      ],
    ],
  ),
  ...singleMetrics(
    (figures: Figures) => figures,
    [
      [
        'counter',
        'dfs_mount_read_bytes_total',
        'Bytes that the kernel has read',
        (f) => f.readBytes,
      ],
      [
        'counter',
        'dfs_mount_written_bytes_total',
        'Bytes that the kernel has written',
        (f) => f.writtenBytes,
      ],
    ],
  ),
  ...metricsIn(
    ['cache'],
    ({ client: { caches } }: Figures) => [
      [{ cache: 'names' }, caches.names],
      [{ cache: 'blocks' }, caches.blocks],
    ],
    [
      ['counter', 'dfs_cache_hits_total', 'What was looked for and found', (c) => c.hits],
      ['counter', 'dfs_cache_misses_total', 'What was looked for and missing', (c) => c.misses],
      ['gauge', 'dfs_cache_entries', 'Entries', (c) => c.entries],
    ],
  ),
  ...singleMetrics(
    ({ client }: Figures) => client,
    [
      [
        'gauge',
        'dfs_cache_block_bytes',
        'Bytes of blocks of pieces in the cache',
        ({ caches }) => caches.blocks.bytes,
      ],
      [
        'gauge',
        'dfs_log_changes',
        'Changes that were answered and are not stored yet',
        ({ log }) => log.changes,
      ],
      ['gauge', 'dfs_log_bytes', 'Bytes of content in those changes', ({ log }) => log.bytes],
      [
        'gauge',
        'dfs_log_age_seconds',
        'Age of the oldest change that is not stored yet',
        ({ log }) => log.ageMs / 1000,
      ],
      [
        'gauge',
        'dfs_mount_alone',
        'Whether no other client uses the account now',
        ({ isAlone }) => isTrue(isAlone),
      ],
    ],
  ),
  ...metricsIn(
    ['outcome'],
    ({ client: { quorum } }: Figures) => [
      [{ outcome: 'committed' }, quorum.commits],
      [{ outcome: 'refused' }, quorum.refusals],
      [{ outcome: 'unknown' }, quorum.unknown],
    ],
    [
      [
        'counter',
        'dfs_quorum_transactions_total',
        'Transactions, by what became of them',
        (count) => count,
      ],
    ],
  ),
  ...singleMetrics(
    ({ client: { quorum } }: Figures) => quorum,
    [
      [
        'counter',
        'dfs_quorum_rounds_total',
        'Rounds of votes; more than one for a transaction when servers disagree',
        ({ rounds }) => rounds,
      ],
      [
        'counter',
        'dfs_quorum_ballots_total',
        'Ballots about transactions that were left undecided',
        ({ ballots }) => ballots,
      ],
      [
        'counter',
        'dfs_quorum_aborts_total',
        'Transactions that a ballot has aborted',
        ({ aborts }) => aborts,
      ],
    ],
  ),
  ...singleMetrics(
    ({ client: { repair } }: Figures) => repair,
    [
      ['gauge', 'dfs_repair_running', 'Whether a repair runs now', (r) => isTrue(r.isRunning)],
      ['counter', 'dfs_repair_runs_total', 'Repairs that were begun', (r) => r.runs],
      ['counter', 'dfs_repair_failures_total', 'Repairs that were broken off', (r) => r.failures],
      [
        'counter',
        'dfs_repair_registers_copied_total',
        'Names and inodes that repairs have copied',
        (r) => r.registersCopied,
      ],
      [
        'counter',
        'dfs_repair_pieces_copied_total',
        'Pieces that were missing and that repairs have filled',
        (r) => r.piecesCopied,
      ],
      [
        'counter',
        'dfs_repair_servers_filled_total',
        'Servers that repairs have filled',
        (r) => r.serversFilled,
      ],
      ['gauge', 'dfs_repair_left', 'What was still missing after the last repair', (r) => r.left],
      [
        'gauge',
        'dfs_repair_pieces_lost',
        'Pieces that the last repair has found to be lost for good',
        (r) => r.lost,
      ],
    ],
  ),
  ...metricsIn(
    ['server', 'state'],
    ({ client: { servers } }: Figures) =>
      servers.flatMap(({ name: server, state: now }) =>
        serverStates.map((state) => [{ server, state }, state === now] as const),
      ),
    [
      [
        'gauge',
        'dfs_client_server_state',
        'State of each server as the mount sees it: 1 for the one that it is in',
        isTrue,
      ],
    ],
  ),
  ...metricsIn(
    ['server'],
    ({ client: { servers } }: Figures) => servers.map((one) => [{ server: one.name }, one]),
    [
      [
        'histogram',
        'dfs_client_request_seconds',
        'Time that each server takes to answer a request of the mount',
        ({ latencies }) => latencies,
      ],
      [
        'counter',
        'dfs_client_request_failures_total',
        'Requests that each server has answered with a failure',
        ({ failures }) => failures,
      ],
    ],
  ),
]
