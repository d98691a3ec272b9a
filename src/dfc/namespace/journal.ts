/**
 * The journal of a client: the changes that it has answered and not stored yet, where they outlive its process. Each
 * is written before it is answered, and forgotten once it is stored.
 */
import { crc32 } from 'node:zlib'
import { limits } from '../../limits.js'
import { bytes, type Codec, decode, list, optional, struct, u64, Writer } from '../../wire/codec.js'
import { nameText, segmentCodec, type Transaction, transactionCodec } from '../../wire/records.js'
import { type Version, versionCodec } from '../../wire/version.js'
import { type PreparedSegment, preparedAs } from '../content/prepared-segment.js'

/** A change that was answered before it is stored. */
export interface LoggedChange {
  readonly body: Transaction
  /** The new small segments that its inodes refer to. Their bytes do not change any more. */
  readonly contents: readonly PreparedSegment[]
  /** The file whose content the change stores, with a name of it for messages; absent for other changes. */
  readonly file?: { readonly ino: number; readonly name: string } | undefined
}

export interface JournalEntry extends LoggedChange {
  /** The version under which the change was answered. Changes with the same one are one transaction. */
  readonly id: Version
  /**
   * Others that were answered under this version may be missing here, so that no transaction may have it again: a server
   * may have voted for all of them.
   */
  readonly isPartial?: boolean
}

/** The changes read from a journal, and how much of it is damaged. */
export interface JournalContents {
  /** The changes that are still needed, in their order. */
  readonly entries: readonly JournalEntry[]
  /** Bytes between or after whole records that are none: something was lost. */
  readonly damagedBytes: number
}

export interface Journal {
  /** Changes that earlier clients of the account have left on this machine, in the order in which they were answered. */
  readonly left: readonly JournalEntry[]
  /** Adds a change. It outlives this process when this returns. Throws when that is not possible. */
  append(entry: JournalEntry): void
  /** Drops the changes that were answered under this version: they are stored, or kept elsewhere. */
  forget(id: Version): void
  /** Closes it. What was not dropped is left to the next client. */
  close(): void
}

const content = struct({ segment: segmentCodec, bytes: bytes(limits.inlineContentBytesMax) })

const change = struct({
  id: versionCodec,
  body: transactionCodec,
  contents: list(content, limits.inlineSegmentsMax),
  file: optional(struct({ ino: u64, name: nameText })),
})

const forgotten = struct({ id: versionCodec })

/** Bytes before each record: its length and its CRC-32, four bytes each. */
const headBytes = 8
const changeKind = 1
const forgottenKind = 2
/** An earlier release passes over these. */
const partialKind = 3
/** Bytes that the records behind a damage are searched up to: next to none of them has more. */
const soughtBytesMax = 2 * limits.framePayloadBytesMax

/** Returns the record of a change, to be appended to the file. */
export function changeRecord({ id, body, contents, file }: JournalEntry): Buffer {
  return record(changeKind, change, {
    id,
    body,
    contents: contents.map(({ segment, pieces }) => ({
      segment,
      bytes: Buffer.concat(pieces.flatMap(({ parts }) => parts)),
    })),
    file: file ?? null,
  })
}

/** Returns the record that the changes answered under `id` are not needed any more. */
export function forgottenRecord(id: Version): Buffer {
  return record(forgottenKind, forgotten, { id })
}

/** Returns the record that of the changes answered under `id` some may be missing. */
export function partialRecord(id: Version): Buffer {
  return record(partialKind, forgotten, { id })
}

function record<T>(kind: number, codec: Codec<T>, value: T): Buffer {
  const writer = new Writer(1024)
  writer.take(headBytes + 1)
  codec.write(writer, value)
  const all = writer.finish()
  all[headBytes] = kind
  all.writeUInt32BE(all.length - headBytes, 0)
  all.writeUInt32BE(crc32(all.subarray(headBytes)), 4)
  return all
}

/** Returns the changes in a journal that are still needed, in their order. */
export function entriesOf(journal: Buffer): readonly JournalEntry[] {
  return contentsOf(journal).entries
}

/**
 * Reads a journal. A record that was cut short at the end was never answered, or was lost with the power. What is damaged
 * in between is passed over, and all that is left counts as partial: what followed has its preconditions, so that it is
 * stored only where it does not need what is lost.
 */
export function contentsOf(journal: Buffer): JournalContents {
  const entries: JournalEntry[] = []
  const gone = new Set<Version>()
  const partial = new Set<Version>()
  let damagedBytes = 0
  for (const { kind, payload } of records(journal)) {
    if (kind === forgottenKind) gone.add(decode(forgotten, payload).id)
    else if (kind === partialKind) partial.add(decode(forgotten, payload).id)
    else if (kind === changeKind) entries.push(entryOf(payload))
    else if (kind === damage) damagedBytes += payload.length
  }
  const isPartial = (id: Version): boolean => damagedBytes > 0 || partial.has(id)
  return {
    entries: entries
      .filter(({ id }) => !gone.has(id))
      .map((entry) => (isPartial(entry.id) ? { ...entry, isPartial: true } : entry)),
    damagedBytes,
  }
}

function entryOf(payload: Buffer): JournalEntry {
  const { contents, file, ...rest } = decode(change, payload)
  return {
    ...rest,
    contents: contents.map(({ segment, bytes: own }) => preparedAs(segment, [own])),
    file: file ?? undefined,
  }
}

/** In the place of the kind of a record: bytes that are none. */
const damage = 'damage'

interface RecordFound {
  readonly kind: number | typeof damage
  readonly payload: Buffer
}

function* records(journal: Buffer): Generator<RecordFound> {
  for (let at = 0; at < journal.length; ) {
    const whole = recordAt(journal, at)
    if (whole !== undefined) {
      yield { kind: whole[0] ?? 0, payload: whole.subarray(1) }
      at += headBytes + whole.length
      continue
    }
    let next = at + 1
    while (next < journal.length && !isFoundAt(journal, next)) next += 1
    const between = journal.subarray(at, next)
    if (next < journal.length || !wasNotWritten(between)) yield { kind: damage, payload: between }
    at = next
  }
}

/** Returns the record that begins at this place, without its head; undefined where none does. */
function recordAt(journal: Buffer, at: number): Buffer | undefined {
  if (at + headBytes >= journal.length) return undefined
  const length = journal.readUInt32BE(at)
  const whole = journal.subarray(at + headBytes, at + headBytes + length)
  if (length === 0 || whole.length < length) return undefined
  return crc32(whole) === journal.readUInt32BE(at + 4) ? whole : undefined
}

/** Whether a record begins at this place, which may be any. The first bytes rule out nearly all without a sum of megabytes. */
function isFoundAt(journal: Buffer, at: number): boolean {
  const kind = journal[at + headBytes]
  if (kind === undefined || kind < changeKind || kind > partialKind) return false
  return journal.readUInt32BE(at) <= soughtBytesMax && recordAt(journal, at) !== undefined
}

/** Whether the end of a journal may be a record of which not everything was written. */
function wasNotWritten(end: Buffer): boolean {
  if (end.length < headBytes || end.readUInt32BE(0) > end.length - headBytes) return true
  return end.every((byte) => byte === 0)
}
