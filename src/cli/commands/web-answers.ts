/** The answers that the page of WEB asks for: the servers, a folder, and the pieces of a file. */
import type { Client } from '../../dfc/client.js'
import type { HeldSegment } from '../../dfc/repair/held.js'
import { heldMasks } from '../../dfc/repair/held.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import {
  holdersOf,
  isReadableFrom,
  pieceNumbers,
  pieceRange,
  rotationOf,
  serverIndexes,
} from '../../wire/placement.js'
import { fileType, type Inode, typeOf } from '../../wire/records.js'
import { mountsOf } from '../mounts.js'
import { findPath, isFolder, namesOf } from '../paths/remote-path.js'
import type { Session } from '../session.js'
import { typeWord } from '../terminal/format.js'
import { statusNow } from './status.js'
import type { WebAnswers } from './web-server.js'

/** One or two servers that might be away: all ten choices. */
const absences: readonly (readonly number[])[] = [
  ...serverIndexes.map((index) => [index]),
  ...serverIndexes.flatMap((one) =>
    serverIndexes.filter((other) => other > one).map((other) => [one, other]),
  ),
]

export function webAnswers({ client }: Pick<Session, 'client'>): WebAnswers {
  return {
    '/api/status': () => status(client),
    '/api/folder': (asked) => folder(client, asked.get('path') ?? '/'),
    '/api/file': (asked) => file(client, asked.get('path') ?? '/'),
  }
}

async function status({ cluster }: Client): Promise<object> {
  const [now, mounts, statuses] = await Promise.all([
    statusNow(cluster),
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
  const inodes = shown.flatMap((one) => (one.node === undefined ? [] : [one.node.inode]))
  const held = new Map(
    (
      await heldMasks(
        cluster,
        inodes.flatMap(({ segments }) => segments),
      )
    ).map((one) => [one.segment.id, one]),
  )
  const entries = shown.map(({ name, node: found, incomplete }) => ({
    name,
    path: `/${[...namesOf(path), name].join('/')}`,
    type: found === undefined ? 'unknown' : typeWord(found.inode.mode),
    size: found?.inode.size ?? null,
    incomplete,
    lostWithout: found === undefined ? [] : lostWithout(found.inode, held),
  }))
  const without = absences.map((away, index) => ({
    servers: away.map((server) => cluster.link(server).name),
    incomplete: entries.filter((one) => one.lostWithout[index] === true).length,
  }))
  return { path: `/${namesOf(path).join('/')}`, entries, isCut, without }
}

async function file(client: Client, path: string): Promise<object> {
  const { cluster, namespace } = client
  const { inode } = await findPath(namespace, path)
  if (typeOf(inode.mode) !== fileType.file) throw new DfsError('invalid', `${path} is no file`)
  const all = await heldMasks(cluster, inode.segments)
  const held = new Map(all.map((one) => [one.segment.id, one]))
  const lost = lostWithout(inode, held)
  return {
    path: `/${namesOf(path).join('/')}`,
    size: inode.size,
    segmentCount: inode.segments.length,
    servers: cluster.links.map(({ name, isUp }) => ({ name, isUp })),
    segments: all.slice(0, limits.webSegmentsMax).map((one) => drawn(one, client)),
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

/** For each of `absences` whether some byte could not be read, by the pieces that the other servers hold now. */
function lostWithout(inode: Inode, held: ReadonlyMap<string, HeldSegment>): readonly boolean[] {
  return absences.map((away) =>
    inode.segments.some((segment) => {
      const masks = [...(held.get(segment.id)?.masks ?? [])]
      const left = masks.filter(([server]) => !away.includes(server)).map(([, mask]) => mask)
      return !isReadableFrom(segment, left)
    }),
  )
}
