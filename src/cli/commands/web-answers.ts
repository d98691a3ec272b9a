/** The answers that the page of WEB asks for: the servers, a folder, and the pieces of a file. */
import type { Client } from '../../dfc/client.js'
import { type HeldSegment, heldMasks } from '../../dfc/repair/held.js'
import { incompleteFor } from '../../dfc/repair/what-if.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { escapeName } from '../../visible-text.js'
import {
  holdersOf,
  pieceNumbers,
  pieceRange,
  rotationOf,
  serverIndexes,
} from '../../wire/placement.js'
import { fileType, typeOf } from '../../wire/records.js'
import { mountsOf } from '../mounts.js'
import { findPath, isFolder, namesOf } from '../paths/remote-path.js'
import { typeWord } from '../terminal/format.js'
import { statusObject } from './status.js'
import type { WebAnswers } from './web-server.js'

/** One or two servers that might be away: all ten choices. */
const absences: readonly (readonly number[])[] = [
  ...serverIndexes.map((index) => [index]),
  ...serverIndexes.flatMap((one) =>
    serverIndexes.filter((other) => other > one).map((other) => [one, other]),
  ),
]

/** Calls `action` with a client that is there at least until it has ended. */
export type UseClient = <T>(action: (client: Client) => Promise<T>) => Promise<T>

export function webAnswers(use: UseClient): WebAnswers {
  return {
    '/api/status': shared(() => use(status)),
    '/api/folder': (asked) => use((client) => folder(client, asked.get('path') ?? '/')),
    '/api/file': (asked) => use((client) => file(client, asked.get('path') ?? '/')),
  }
}

/** Has all pages share an answer: while it is on its way, and until it is too old. */
function shared(answer: () => Promise<object>): () => Promise<object> {
  let last: Promise<object> | undefined
  const forgetLater = (): void => {
    setTimeout(() => {
      last = undefined
    }, limits.webStatusAgeMs).unref()
  }
  return () => {
    if (last === undefined) {
      last = answer()
      last.then(forgetLater, forgetLater)
    }
    return last
  }
}

async function status({ cluster }: Client): Promise<object> {
  const [now, mounts, statuses] = await Promise.all([
    statusObject(cluster),
    mountsOf(cluster.config),
    cluster.ask(cluster.up, 'status', () => ({})),
  ])
  const quotas = statuses.flatMap(({ answer }) => answer?.reply.quota ?? [])
  // A file takes half its size on each server, and the one with the least sets the end.
  const quota =
    quotas.length === 0
      ? null
      : {
          bytes: 2 * Math.min(...quotas.map(({ bytes }) => bytes)),
          freeBytes: 2 * Math.min(...quotas.map(({ freeBytes }) => freeBytes)),
        }
  const repairs = mounts.map(({ mountpoint, client: { repair, log } }) => ({
    mountpoint,
    repair,
    log,
  }))
  return { ...now, user: cluster.config.user, quota, repairs }
}

async function folder(client: Client, path: string): Promise<object> {
  const { cluster, namespace } = client
  const node = await findPath(namespace, path)
  if (!isFolder(node)) throw new DfsError('notDirectory')
  const listed = []
  let isCut = false
  for await (const { entries } of namespace.names.pages(node.ino)) {
    listed.push(...entries)
    isCut = listed.length > limits.webNamesMax
    if (isCut) break
  }
  const shown = listed.slice(0, limits.webNamesMax)
  const lost = await incompleteFor(
    cluster,
    shown.map((one) => one.node?.inode),
    absences,
  )
  const entries = shown.map(({ name, node: found, incomplete }, at) => ({
    name,
    shown: escapeName(name),
    path: `/${[...namesOf(path), name].join('/')}`,
    type: found === undefined ? 'unknown' : typeWord(found.inode.mode),
    size: found?.inode.size ?? null,
    incomplete,
    lostWithout: lost[at] ?? [],
  }))
  const without = absences.map((away, index) => ({
    servers: away.map((server) => cluster.link(server).name),
    incomplete: entries.filter((one) => one.lostWithout[index] === true).length,
  }))
  return { ...pathOf(path), entries, isCut, without }
}

/** A path as the page asks for it, and as it shows it: some characters change the direction of text, or are invisible. */
function pathOf(asked: string): { path: string; shown: string } {
  const path = `/${namesOf(asked).join('/')}`
  return { path, shown: escapeName(path) }
}

async function file(client: Client, path: string): Promise<object> {
  const { cluster, namespace } = client
  const { inode } = await findPath(namespace, path)
  if (typeOf(inode.mode) !== fileType.file) throw new DfsError('invalid', `${path} is no file`)
  const drawnSegments = inode.segments.slice(0, limits.webSegmentsMax)
  const held = await heldMasks(cluster, drawnSegments, cluster.up)
  const [lost = []] = await incompleteFor(cluster, [inode], absences)
  return {
    ...pathOf(path),
    size: inode.size,
    segmentCount: inode.segments.length,
    servers: cluster.links.map(({ name, isUp }) => ({ name, isUp })),
    segments: held.map((one) => drawn(one, client)),
    without: absences.map((away, index) => ({
      servers: away.map((server) => cluster.link(server).name),
      isIncomplete: lost[index] === true,
    })),
  }
}

/** One segment: for each server the pieces that it holds, and those that it should hold and does not. */
function drawn({ segment, masks }: HeldSegment, { cluster }: Client): object {
  const rotation = rotationOf(segment.md5)
  const pieces = pieceNumbers.filter((piece) => pieceRange(segment.length, piece).length > 0)
  return {
    length: segment.length,
    md5: segment.md5,
    servers: cluster.links.map(({ name, index }) => {
      const isHere = (piece: number): boolean =>
        ((masks.get(index) ?? 0) & (1 << (piece - 1))) !== 0
      const isHome = (piece: number): boolean => holdersOf(piece, rotation).includes(index)
      return {
        name,
        held: pieces.filter(isHere),
        missing: pieces.filter((piece) => isHome(piece) && !isHere(piece)),
        spare: pieces.filter((piece) => !isHome(piece) && isHere(piece)),
      }
    }),
  }
}
