/** The table of the metrics of a mount: names, meanings, and where they are found in what it has counted. */
import { type ClientFigures, serverStates } from '../../dfc/figures.js'
import type { Metric } from '../../metrics.js'
import type { MountFigures } from '../../mount-figures.js'

type Figures = MountFigures<ClientFigures>
type Row = Metric<Figures>

/** A row with one value. */
function one(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: (figures: Figures) => number | undefined,
): Row {
  const values: Row['values'] = (figures) => {
    const found = value(figures)
    return found === undefined ? [] : [[{}, found]]
  }
  return { name, help, type, values }
}

/** A row with a value for each of the four servers. */
function server(
  type: Row['type'],
  name: string,
  help: string,
  value: (figures: ClientFigures['servers'][number]) => ReturnType<Row['values']>[number][1],
): Row {
  return {
    name,
    help,
    type,
    labels: ['server'],
    values: ({ client }) =>
      client.servers.map((figures) => [{ server: figures.name }, value(figures)]),
  }
}

/** A row with a value for each cache. */
function cache(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: (figures: ClientFigures['caches']['names']) => number,
): Row {
  return {
    name,
    help,
    type,
    labels: ['cache'],
    values: ({ client: { caches } }) => [
      [{ cache: 'names' }, value(caches.names)],
      [{ cache: 'blocks' }, value(caches.blocks)],
    ],
  }
}

export const mountMetrics: readonly Row[] = [
  {
    name: 'dfs_mount_info',
    help: 'Always 1; the label says whose files are mounted',
    type: 'gauge',
    labels: ['user'],
    values: ({ client }) => [[{ user: client.user }, 1]],
  },
  {
    name: 'dfs_mount_operation_seconds',
    help: 'Time from a request of the kernel to its answer',
    type: 'histogram',
    labels: ['operation'],
    values: ({ operations }) =>
      operations.map(({ name, latencies }) => [{ operation: name }, latencies]),
  },
  {
    name: 'dfs_mount_operation_errors_total',
    help: 'Requests of the kernel that were answered with an error, such as that a folder is not empty',
    type: 'counter',
    labels: ['operation'],
    values: ({ operations }) => operations.map(({ name, errors }) => [{ operation: name }, errors]),
  },
  one(
    'counter',
    'dfs_mount_read_bytes_total',
    'Bytes that the kernel has read',
    (f) => f.readBytes,
  ),
  one(
    'counter',
    'dfs_mount_written_bytes_total',
    'Bytes that the kernel has written',
    (f) => f.writtenBytes,
  ),
  cache('counter', 'dfs_cache_hits_total', 'What was looked for and found', (c) => c.hits),
  cache('counter', 'dfs_cache_misses_total', 'What was looked for and missing', (c) => c.misses),
  cache('gauge', 'dfs_cache_entries', 'Entries', (c) => c.entries),
  one(
    'gauge',
    'dfs_cache_block_bytes',
    'Bytes of blocks of pieces in the cache',
    (f) => f.client.caches.blocks.bytes,
  ),
  one(
    'gauge',
    'dfs_log_changes',
    'Changes that were answered and are not stored yet',
    (f) => f.client.log.changes,
  ),
  one('gauge', 'dfs_log_bytes', 'Bytes of content in those changes', (f) => f.client.log.bytes),
  one(
    'gauge',
    'dfs_log_age_seconds',
    'Age of the oldest change that is not stored yet',
    (f) => f.client.log.ageMs / 1000,
  ),
  one('gauge', 'dfs_mount_alone', 'Whether no other client uses the account now', (f) =>
    f.client.isAlone ? 1 : 0,
  ),
  {
    name: 'dfs_quorum_transactions_total',
    help: 'Transactions, by what became of them',
    type: 'counter',
    labels: ['outcome'],
    values: ({ client: { quorum } }) => [
      [{ outcome: 'committed' }, quorum.commits],
      [{ outcome: 'refused' }, quorum.refusals],
      [{ outcome: 'unknown' }, quorum.unknown],
    ],
  },
  one(
    'counter',
    'dfs_quorum_rounds_total',
    'Rounds of votes; more than one for a transaction when servers disagree',
    (f) => f.client.quorum.rounds,
  ),
  one(
    'counter',
    'dfs_quorum_ballots_total',
    'Ballots about transactions that were left undecided',
    (f) => f.client.quorum.ballots,
  ),
  one(
    'counter',
    'dfs_quorum_aborts_total',
    'Transactions that a ballot has aborted',
    (f) => f.client.quorum.aborts,
  ),
  one('gauge', 'dfs_repair_running', 'Whether a repair runs now', (f) =>
    f.client.repair.isRunning ? 1 : 0,
  ),
  one('counter', 'dfs_repair_runs_total', 'Repairs that were begun', (f) => f.client.repair.runs),
  one(
    'counter',
    'dfs_repair_failures_total',
    'Repairs that were broken off',
    (f) => f.client.repair.failures,
  ),
  one(
    'counter',
    'dfs_repair_registers_copied_total',
    'Names and inodes that repairs have copied',
    (f) => f.client.repair.registersCopied,
  ),
  one(
    'counter',
    'dfs_repair_pieces_copied_total',
    'Pieces that were missing and that repairs have filled',
    (f) => f.client.repair.piecesCopied,
  ),
  one(
    'counter',
    'dfs_repair_servers_filled_total',
    'Servers that repairs have filled',
    (f) => f.client.repair.serversFilled,
  ),
  one(
    'gauge',
    'dfs_repair_left',
    'What was still missing after the last repair',
    (f) => f.client.repair.left,
  ),
  one(
    'gauge',
    'dfs_repair_pieces_lost',
    'Pieces that the last repair has found to be lost for good',
    (f) => f.client.repair.lost,
  ),
  {
    name: 'dfs_client_server_state',
    help: 'State of each server as the mount sees it: 1 for the one that it is in',
    type: 'gauge',
    labels: ['server', 'state'],
    values: ({ client }) =>
      client.servers.flatMap(({ name, state: now }) =>
        serverStates.map((state) => [{ server: name, state }, state === now ? 1 : 0] as const),
      ),
  },
  server(
    'histogram',
    'dfs_client_request_seconds',
    'Time that each server takes to answer a request of the mount',
    ({ latencies }) => latencies,
  ),
  server(
    'counter',
    'dfs_client_request_failures_total',
    'Requests that each server has answered with a failure',
    ({ failures }) => failures,
  ),
]
