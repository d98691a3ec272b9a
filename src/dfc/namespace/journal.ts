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

/**
 * Returns the changes in a journal that are still needed, in their order. It ends where a record was cut or is
 * damaged: what comes after that was never answered, or was lost with the power.
 */
export function entriesOf(journal: Buffer): readonly JournalEntry[] {
  const entries: JournalEntry[] = []
  const gone = new Set<Version>()
  for (const { kind, payload } of records(journal)) {
    if (kind === forgottenKind) gone.add(decode(forgotten, payload).id)
    else if (kind === changeKind) entries.push(entryOf(payload))
  }
  return entries.filter(({ id }) => !gone.has(id))
}

function entryOf(payload: Buffer): JournalEntry {
  const { contents, file, ...rest } = decode(change, payload)
  return {
    ...rest,
    contents: contents.map(({ segment, bytes: own }) => preparedAs(segment, [own])),
    file: file ?? undefined,
  }
}

function* records(journal: Buffer): Generator<{ kind: number; payload: Buffer }> {
  for (let at = 0; at + headBytes < journal.length; ) {
    const length = journal.readUInt32BE(at)
    const whole = journal.subarray(at + headBytes, at + headBytes + length)
    if (length === 0 || whole.length < length) return
    if (crc32(whole) !== journal.readUInt32BE(at + 4)) return
    yield { kind: whole[0] ?? 0, payload: whole.subarray(1) }
    at += headBytes + length
  }
}
