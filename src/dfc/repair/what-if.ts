/**
 * Finds out, before anything is stopped, what would not work without some of the servers: which files could not be
 * read in full, by the pieces that the other servers really hold, and whether anything could be changed.
 */
import { limits } from '../../limits.js'
import type { Reply } from '../../wire/messages.js'
import { isReadableFrom } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import type { Inode, Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Namespace } from '../namespace/namespace.js'
import { askEach } from './ask-voters.js'
import { type HeldSegment, heldMasks } from './held.js'
import { markedByAny } from './lost.js'
import { type FileWithName, filesOf } from './named-files.js'

/** A file that could not be read in full. */
export interface IncompleteFile {
  readonly path: string
  readonly ino: number
  /** It cannot be read in full already, with all servers that are up. */
  readonly isIncompleteNow: boolean
}

/** The servers that would be left, as positions in the configuration. */
export interface Left {
  /** Servers that would answer. */
  readonly up: readonly number[]
  /** Servers that would vote and answer reads of names. */
  readonly voters: readonly number[]
  /** Those of the voters whose disk is full: they accept no change. */
  readonly full: readonly number[]
  readonly canChange: boolean
}

/**
 * The servers that would be left if those at the positions `down` were down as well. Throws the failure of a server that
 * is up.
 */
export async function leftWithout(cluster: Cluster, down: readonly number[]): Promise<Left> {
  const stays = (server: number): boolean => !down.includes(server)
  const voters = cluster.voters.filter(stays)
  const statuses = await askEach(cluster, voters, 'status', () => ({}))
  const full = voters.filter((_, at) => isFull(statuses[at]))
  const canChange = voters.length - full.length >= quorum.commit
  return { up: cluster.up.filter(stays), voters, full, canChange }
}

/** Whether the disk of a server that says this has no room for what a change may bring. */
export function isFull(said: Reply<'status'> | undefined): boolean {
  return said !== undefined && said.diskFreeBytes < limits.fullDiskBytes
}

/**
 * Walks all folders of the user and yields the files that could not be read in full without the servers `down`; one
 * with several names comes under each. What is in the trash has no name in a folder and is not looked at. `looked` is
 * called with the number of names looked at so far. Throws the failure of a server that is up: what it holds is not known
 * then.
 */
export async function* incompleteWithout(
  { cluster, namespace }: { readonly cluster: Cluster; readonly namespace: Namespace },
  down: readonly number[],
  looked: (names: number) => void = () => {},
): AsyncGenerator<IncompleteFile, void, void> {
  let names = 0
  for await (const files of batchesOf(filesOf(namespace))) {
    yield* await incompleteAmong(cluster, files, down)
    names += files.length
    looked(names)
  }
}

async function incompleteAmong(
  cluster: Cluster,
  files: readonly FileWithName[],
  down: readonly number[],
): Promise<readonly IncompleteFile[]> {
  const inodes = files.map(({ node }) => node?.inode)
  const found = await incompleteFor(cluster, inodes, [[], down])
  return files.flatMap(({ path, ino }, at) => {
    const [isIncompleteNow = false, isIncompleteThen = false] = found[at] ?? []
    return isIncompleteThen ? [{ path, ino, isIncompleteNow }] : []
  })
}

/**
 * Returns for each inode, and for each of the `choices` of servers that are down, whether its content could not be read
 * in full. An inode that the servers do not show is undefined, and incomplete in any case.
 */
export async function incompleteFor(
  cluster: Cluster,
  inodes: readonly (Inode | undefined)[],
  choices: readonly (readonly number[])[],
): Promise<readonly (readonly boolean[])[]> {
  const segments = new Map<string, Segment>()
  for (const inode of inodes) {
    for (const segment of inode?.segments ?? []) segments.set(segment.id, segment)
  }
  const broken = choices.map(() => new Set<string>())
  for (const held of await heldMasks(cluster, [...segments.values()], cluster.up)) {
    for (const [at, down] of choices.entries()) {
      if (!isWhole(held, down)) broken[at]?.add(held.segment.id)
    }
  }
  return inodes.map((inode) =>
    broken.map((ids) => inode === undefined || inode.segments.some(({ id }) => ids.has(id))),
  )
}

/** Whether every byte of a segment can be read while the servers `down` do not answer. */
function isWhole(held: HeldSegment, down: readonly number[]): boolean {
  const masks = [...held.masks].filter(([server]) => !down.includes(server))
  return (
    markedByAny(held) === 0 &&
    isReadableFrom(
      held.segment,
      masks.map(([, mask]) => mask),
    )
  )
}

/** Collects files until they have as many segments as one request names, so that small folders are not asked one by one. */
async function* batchesOf(
  files: AsyncIterable<FileWithName>,
): AsyncGenerator<readonly FileWithName[], void, void> {
  let batch: FileWithName[] = []
  let segments = 0
  for await (const file of files) {
    batch.push(file)
    // A file without a segment counts as well: a batch of names is bounded, too.
    segments += Math.max(1, file.node?.inode.segments.length ?? 0)
    if (segments < limits.segmentsPerRequestMax) continue
    yield batch
    batch = []
    segments = 0
  }
  if (batch.length > 0) yield batch
}
