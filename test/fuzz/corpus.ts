/**
 * Valid frames of every verb, made by the codec of the product. Half of them are anything that can be
 * encoded; the other half belong to a small world of few inodes, names, segments and transactions, so
 * that they meet one another and the server has something to do.
 */

import { checksumsOf } from '../../src/wire/checksum.js'
import type { Codec } from '../../src/wire/codec.js'
import { frame } from '../../src/wire/frame.js'
import { type InlinePiece, messages, type Request, type Verb } from '../../src/wire/messages.js'
import {
  encodeEntry,
  entryKey,
  fileType,
  inodeKey,
  type Register,
  type RegisterWrite,
  type Transaction,
} from '../../src/wire/records.js'
import { noVersion, versionOf } from '../../src/wire/version.js'
import { sampleInode } from '../fixtures/inodes.js'
import { samples } from '../fixtures/samples.js'
import type { Seeded } from '../fixtures/seeded.js'

/** What a frame of the small world is made from. */
interface World {
  readonly random: Seeded
  /** Of the account, as the server has it. */
  readonly incarnation: number
}

type Made<V extends Verb> = readonly [Request<V>, Buffer?]

export const verbs = Object.keys(messages) as Verb[]
const worldBeginMs = 1_700_000_000_000
const perVerb = 24
/** Those that take the server longest, or the disk, come less often: the others are more at a time. */
const perHeavyVerb = 4
const heavyVerbs: ReadonlySet<Verb> = new Set([
  'sync',
  'status',
  'segments',
  'changes',
  'changesDigest',
  'records',
])

/** Some frames of every verb, in an order of no meaning. */
export function makeCorpus(random: Seeded, incarnation: number): readonly Buffer[] {
  const world = { random, incarnation }
  const frames: Buffer[] = []
  for (const verb of verbs) {
    const framesOfVerb = heavyVerbs.has(verb) ? perHeavyVerb : perVerb
    for (let count = 0; count < framesOfVerb; count += 1) {
      frames.push(bytesOf(random, verb, [samples[verb].request(random)] as Made<Verb>))
      const make = plausible[verb] as ((world: World) => Made<Verb>) | undefined
      if (make !== undefined) frames.push(bytesOf(random, verb, make(world)))
    }
  }
  return frames
}

function bytesOf(random: Seeded, verb: Verb, [fields, payload]: Made<Verb>): Buffer {
  const { number, request } = messages[verb]
  const parts = payload === undefined ? [] : [payload]
  const id = random.below(0xffff_ffff)
  return Buffer.concat(frame(number, id, request as Codec<unknown>, fields, parts))
}

const plausible: { readonly [V in Verb]?: (world: World) => Made<V> } = {
  found: ({ incarnation }) => [{ incarnations: [incarnation, 1, 2, 3] }],
  lookup: ({ random }) => [{ parent: 1, names: [name(random), name(random)] }],
  list: ({ random }) => [
    {
      folder: ino(random),
      after: random.below(2) === 0 ? '' : name(random),
      entriesMax: random.below(3000),
      withHeldPieces: random.below(2) === 0,
    },
  ],
  read: ({ random }) => [{ keys: Array.from({ length: random.below(20) }, () => key(random)) }],
  commit({ random }) {
    const { pieces, payload } = inline(random)
    const body = transaction(random)
    return [{ id: version(random), epoch: random.below(3), settles: [], body, pieces }, payload]
  },
  prepare: ({ random }) => [{ id: version(random), ballot: random.below(9) }],
  accept: ({ random }) => [
    {
      id: version(random),
      ballot: random.below(9),
      commit: random.below(2) === 0,
      body: random.below(2) === 0 ? null : transaction(random),
    },
  ],
  decide: ({ random }) => [
    {
      decisions: Array.from({ length: random.below(5) }, () => ({
        id: version(random),
        commit: random.below(2) === 0,
        body: random.below(2) === 0 ? null : transaction(random),
        spares: [{ segment: segment(random), piece: 1 + random.below(4) }],
      })),
    },
  ],
  install: ({ random }) => [{ registers: registers(random) }],
  putPiece({ random }) {
    const bytes = random.bytes(1 + random.below(200))
    const place = { segment: segment(random), piece: 1 + random.below(4), offset: 0 }
    return [{ ...place, pieceLength: bytes.length, checksums: checksumsOf(bytes) }, bytes]
  },
  getPiece: ({ random }) => [
    {
      segment: segment(random),
      piece: 1 + random.below(4),
      offset: random.below(100),
      length: random.below(200_000),
    },
  ],
  held: ({ random }) => [{ segments: segments(random) }],
  sync: ({ random }) => [{ segments: segments(random) }],
  segments: ({ random }) => [{ after: '', misplacedOnly: false, limit: random.below(5000) }],
  markLost: ({ random }) => [
    { marks: segments(random).map((one) => ({ segment: one, pieces: random.below(16) })) },
  ],
  dropPieces: ({ random }) => [{ segment: segment(random), pieces: random.below(16) }],
  epoch: ({ random }) => [{ epoch: random.below(3) }],
  fence: ({ random }) => [{ fence: early(random), agreed: random.below(2) === 0 }],
  floor: ({ random, incarnation }) => [{ floor: early(random), incarnation }],
  records: ({ random }) => [
    { after: noVersion, undecidedOnly: random.below(2) === 0, limit: random.below(5000) },
  ],
  changes: ({ random }) => [
    {
      afterVersion: noVersion,
      afterKey: '',
      withValues: random.below(2) === 0,
      limit: random.below(5000),
    },
  ],
  changesDigest: ({ random }) => [
    { afterVersion: noVersion, afterKey: '', limit: random.below(5000) },
  ],
  mark: ({ random }) => [{ decisions: [{ id: version(random), commit: random.below(2) === 0 }] }],
  fillStart: ({ random, incarnation }) => [{ epoch: random.below(4), incarnation }],
  fill: ({ random }) => [{ epoch: random.below(4), registers: registers(random), decisions: [] }],
  // Rarely, because it ends the fill.
  fillEnd: ({ random }) => [{ epoch: 3 + random.below(30), floor: noVersion, fence: noVersion }],
}

const ino = (random: Seeded): number => 1 + random.below(20)
const name = (random: Seeded): string => String.fromCharCode(97 + random.below(12))
const segment = (random: Seeded): string => random.below(24).toString(16).padStart(32, '5')
const version = (random: Seeded): string =>
  versionOf(worldBeginMs + random.below(60), random.below(2), '000000aa')
/** Below most versions of the world: the account goes on afterwards. */
const early = (random: Seeded): string => versionOf(worldBeginMs - random.below(60), 0, '000000aa')

const key = (random: Seeded): string =>
  random.below(2) === 0 ? inodeKey(ino(random)) : entryKey(ino(random), name(random))

function segments(random: Seeded): string[] {
  return Array.from({ length: random.below(6) }, () => segment(random))
}

function value(random: Seeded, of: string): Buffer | null {
  if (random.below(4) === 0) return null
  const isFolder = random.below(3) === 0
  const mode = isFolder ? fileType.folder | 0o755 : fileType.file | 0o644
  if (of.startsWith('e')) return encodeEntry({ ino: ino(random), type: mode >> 12 })
  const md5 = random.bytes(16).toString('hex')
  const length = 1 + random.below(100)
  const ids = isFolder ? [] : segments(random)
  return sampleInode({ mode, segments: ids.map((id) => ({ id, length, md5 })) })
}

function transaction(random: Seeded): Transaction {
  const keys = [...new Set(Array.from({ length: 1 + random.below(3) }, () => key(random)))]
  const writes: RegisterWrite[] = keys.map((of) => ({ key: of, value: value(random, of) }))
  const preconditions = keys.map((of) => ({
    key: of,
    absent: random.below(2) === 0,
    version: random.below(2) === 0 ? noVersion : version(random),
  }))
  return { writes, preconditions, emptyFolders: [] }
}

function registers(random: Seeded): Register[] {
  return Array.from({ length: random.below(4) }, () => {
    const of = key(random)
    return { key: of, version: version(random), value: value(random, of) }
  })
}

function inline(random: Seeded): { pieces: InlinePiece[]; payload: Buffer } {
  const payloads = Array.from({ length: random.below(3) }, () => random.bytes(random.below(300)))
  const pieces = payloads.map((bytes) => ({
    segment: segment(random),
    piece: 1 + random.below(4),
    length: bytes.length,
    checksums: checksumsOf(bytes),
  }))
  return { pieces, payload: Buffer.concat(payloads) }
}
