/** INFO: shows the attributes of a file, down to which server holds which piece of it. */
import { createHash } from 'node:crypto'
import type { Client } from '../../dfc/client.js'
import { isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { holdersOf, pieceNumbers, pieceRange, rotationOf } from '../../wire/placement.js'
import { fileType, type Inode, type Segment, typeOf } from '../../wire/records.js'
import { findPath, isFolder } from '../paths/remote-path.js'
import { forEach, type Session } from '../session.js'
import { AccountNames } from '../terminal/accounts.js'
import { alignColumns, isoTime, modeText, typeWord } from '../terminal/format.js'
import { Progress } from '../terminal/progress.js'
import type { Command } from './command.js'

export const info: Command = {
  name: 'info',
  operands: 'NAME...',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'show size, MD5, and which server holds which piece',
  details: [
    'Lists for each piece the servers that hold it, and in brackets those that should hold it but are down or',
    'lack it. Reads a file of several segments to compute its MD5.',
  ].join(' '),
  options: [],
  completes: ['remote'],

  run(session, operands) {
    return forEach(session, operands, (path) => describe(session, path))
  },
}

async function describe(session: Session, path: string): Promise<void> {
  const { client, output } = session
  const node = await findPath(client.namespace, path)
  const { inode, ino } = node
  const accounts = await AccountNames.read()
  const rows = [
    ['name', output.name(path)],
    ['type', typeWord(inode.mode)],
    ['mode', modeText(inode.mode)],
    ['owner', `${accounts.user(inode.uid)}:${accounts.group(inode.gid)}`],
    ['modified', isoTime(inode.mtime)],
    ['inode', String(ino)],
  ]
  if (isFolder(node)) rows.push(['entries', String(node.folder?.live ?? 0)])
  if (inode.target !== '') rows.push(['target', output.name(inode.target)])
  const isFile = typeOf(inode.mode) === fileType.file
  if (isFile) {
    rows.push(['size', `${inode.size} bytes`])
    rows.push(['MD5', await md5Of(session, path, inode)])
  }
  for (const line of alignColumns(rows, ['left', 'left'])) output.print(line)
  if (isFile) await describeSegments(session, inode)
}

/** The MD5 of a file. One that consists of a whole segment has the segment's digest; any other one is read. */
async function md5Of(session: Session, path: string, inode: Inode): Promise<string> {
  const { content, cluster } = session.client
  const [segment, ...others] = inode.segments
  if (segment?.length === inode.size && others.length === 0) return segment.md5
  const progress = new Progress(session.output, cluster.clock)
  progress.tally.expect(inode.size)
  progress.tally.counted()
  const file = progress.begin(path, inode.size)
  try {
    const hash = createHash('md5')
    for await (const chunk of content.stream(inode)) {
      session.interrupted.throwIfAborted()
      hash.update(chunk)
      file.tally.moved(chunk.length)
    }
    return hash.digest('hex')
  } catch (error) {
    if (isError(error, 'incomplete', 'dataLost')) return `unknown: ${error.message}`
    throw error
  } finally {
    progress.stop()
  }
}

async function describeSegments({ client, output }: Session, inode: Inode): Promise<void> {
  const held = await heldPieces(client, inode.segments)
  for (const [index, segment] of inode.segments.entries()) {
    const used = inode.extents.filter((extent) => extent.segment === index)
    const places = used.map(({ at, length }) => `${at}..${at + length}`).join(' ')
    const rotation = rotationOf(segment.md5)
    output.print('')
    output.print(`segment ${index + 1} of ${inode.segments.length}: bytes ${places} of the file`)
    output.print(`  length ${segment.length}, MD5 ${segment.md5}, rotation ${rotation}`)
    const rows = pieceNumbers.flatMap((piece) => {
      const { length } = pieceRange(segment.length, piece)
      if (length === 0) return []
      return [
        [`  P${piece}`, String(length), 'bytes', holdersText(client, held, index, piece, rotation)],
      ]
    })
    for (const line of alignColumns(rows, ['left', 'right', 'left', 'left'])) output.print(line)
  }
}

/** For each server that answered, a bit mask of pieces for each segment. */
type Held = ReadonlyMap<number, readonly number[]>

async function heldPieces({ cluster }: Client, segments: readonly Segment[]): Promise<Held> {
  const held = new Map<number, number[]>()
  for (let at = 0; at < segments.length; at += limits.segmentsPerRequestMax) {
    const ids = segments.slice(at, at + limits.segmentsPerRequestMax).map(({ id }) => id)
    for (const { index, answer } of await cluster.ask(cluster.up, 'held', () => ({
      segments: ids,
    }))) {
      if (answer === undefined) continue
      const masks = answer.reply.held.map(({ pieces }) => pieces)
      held.set(index, [...(held.get(index) ?? []), ...masks])
    }
  }
  return held
}

function holdersText(
  { cluster }: Client,
  held: Held,
  segment: number,
  piece: number,
  rotation: number,
): string {
  const homes = new Set(holdersOf(piece, rotation))
  const words = cluster.links.flatMap(({ index, name }) => {
    const masks = held.get(index)
    if (masks === undefined) return homes.has(index) ? [`(${name}: down)`] : []
    if (((masks[segment] ?? 0) & (1 << (piece - 1))) !== 0) return [name]
    return homes.has(index) ? [`(${name}: missing)`] : []
  })
  return words.length === 0 ? 'nowhere' : words.join(' ')
}
