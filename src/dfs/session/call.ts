/**
 * One request from its frame to the frame of its answer. A handler's failure is answered as a
 * failure; what cannot be understood is thrown, because then the connection cannot go on; a failed
 * assertion stops the program.
 */
import { AssertionError } from 'node:assert'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfs, notice } from '../../log.js'
import type { Codec } from '../../wire/codec.js'
import { type Frame, frame, frameKind } from '../../wire/frame.js'
import {
  failureCodec,
  messages,
  type Request,
  type Verb,
  verbOfNumber,
} from '../../wire/messages.js'
import { storageError } from '../disk/storage-error.js'
import {
  type Context,
  joined,
  type LaterRow,
  type NowRow,
  partsOf,
  rowOf,
  type ServedVerb,
  WithPayload,
} from './handlers.js'

export type Parts = readonly Uint8Array[]

/** An answer whose bytes are lent until it was sent. */
export interface LaterAnswer {
  readonly parts: Parts
  readonly sent?: () => void
}

interface Call {
  readonly id: number
  readonly verb: Verb
  readonly request: Request<ServedVerb>
  readonly payload: Buffer
  /** The fields and the payload as they came. */
  readonly entry: Buffer
  /** When it came, as performance.now() counts. */
  readonly cameMs: number
}

export type NowCall = Call & {
  readonly kind: 'now'
  readonly row: NowRow<ServedVerb>
  /** Which part of a request it is, if that was taken apart. */
  readonly part: Part | undefined
}
/** `bytes`: what it holds in memory, the request's payload and the reply's. */
export type LaterCall = Call & {
  readonly kind: 'later'
  readonly row: LaterRow<ServedVerb>
  readonly bytes: number
  /** Whether it reads or writes the file of one piece. */
  readonly isOfPiece: boolean
  /** Gives back the memory that the request came in, when it was answered or never will be. */
  readonly release: (() => void) | undefined
}

/** One part of a request, and what all of its parts have in common. */
interface Part {
  readonly index: number
  readonly count: number
  /** The replies to the parts that have been run. */
  readonly replies: unknown[]
}

/**
 * The request in a frame, or the parts of one that a server does not run at once: only the last of them is
 * answered. Throws `protocol` when the frame is no request that may come after the handshake.
 */
export function parseCalls(frame: Frame, cameMs = 0): readonly (NowCall | LaterCall)[] {
  const call = parseCall(frame, cameMs)
  if (call.kind === 'later' || call.row.parts === undefined) return [call]
  const requests = partsOf(call.request, call.row.parts)
  if (requests.length < 2) return [call]
  const replies: unknown[] = []
  const count = requests.length
  return requests.map((request, index) => ({ ...call, request, part: { index, count, replies } }))
}

function parseCall({ kind, id, reader, release }: Frame, cameMs: number): NowCall | LaterCall {
  const verb = verbOfNumber(kind)
  if (verb === undefined) throw new DfsError('protocol', `unexpected message ${kind}`)
  const entry = reader.rest()
  const request = (messages[verb].request as Codec<unknown>).read(reader) as never
  const payload = reader.rest()
  if (payload.length > 0 && messages[verb].payload !== 'request') {
    throw new DfsError('protocol', `${payload.length} bytes too many in ${verb}`)
  }
  if (payload.length > limits.framePayloadBytesMax) {
    throw new DfsError('protocol', `payload of ${payload.length} bytes`)
  }
  const row = rowOf(verb)
  if (row === undefined) throw new DfsError('protocol', `unexpected ${verb}`)
  if (row.answered === 'now') {
    return { kind: 'now', row, id, verb, request, payload, entry, cameMs, part: undefined }
  }
  const replyBytes = messages[verb].payload === 'reply' ? limits.framePayloadBytesMax : 0
  const bytes = payload.length + replyBytes
  const isOfPiece = verb === 'putPiece' || verb === 'getPiece'
  const what = { id, verb, request, payload, entry, cameMs }
  return { kind: 'later', row, ...what, bytes, isOfPiece, release }
}

/**
 * Runs a synchronous request in the group of the index that is running, and returns its answer, which is empty for
 * a part that is not the last one and for those behind one that has failed. Throws what the handler throws.
 */
export function runNow(context: Context, call: NowCall): Parts {
  context.account.index.assertInGroup()
  const { id, verb, row, request, payload, entry, part } = call
  if (part !== undefined && part.replies.length < part.index) return []
  const { acceptor } = context.account
  acceptor.assertIs(row.account)
  if (row.votes === 'flushed') acceptor.applyLate()
  const reply = row.run(context, request, payload, entry)
  if (part === undefined) return answer(verb, id, reply, context.version)
  // A part is run again when what was stored with it was undone.
  part.replies.length = part.index
  part.replies.push(reply)
  if (part.index + 1 < part.count) return []
  return answer(verb, id, joined(part.replies), context.version)
}

/** Runs a request that takes its time. Rejects only when an assertion failed. */
export async function runLater(context: Context, call: LaterCall): Promise<LaterAnswer> {
  const { version } = context
  const { id, verb, row, request, payload, entry } = call
  try {
    context.account.acceptor.assertIs(row.account)
    if (row.votes === 'flushed') context.account.applyLate()
    const result = await row.run(context, request, payload, entry)
    logCall(context, call, 'ok')
    if (!(result instanceof WithPayload)) return { parts: answer(verb, id, result, version) }
    const { bytes, release } = result.payload
    return { parts: answer(verb, id, result.reply, version, [bytes]), sent: release }
  } catch (thrown) {
    return { parts: failedCall(context, call, thrown) }
  }
}

/** The failure frame for what a handler threw. */
export function failedCall(context: Context, call: NowCall | LaterCall, thrown: unknown): Parts {
  if (thrown instanceof AssertionError) throw thrown
  // What was still running when the account was closed failed for that reason.
  const isClosed = context.account.isGivenUp && !(thrown instanceof DfsError)
  const error = isClosed ? new DfsError('disk') : asDfsError(storageError(thrown))
  // What ends the account is counted where that ends.
  if (isError(error, 'damaged', 'disk')) context.account.giveUp(error)
  else context.account.diskErrors.note(error)
  if (isError(error, 'io', 'tooManyOpen') && !(thrown instanceof DfsError)) {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    const { user } = context.account
    const kind = `${user}: ${call.verb} failed`
    notice(`${kind}: ${text}`, 'warning', kind)
  }
  context.traffic.failed(call.verb)
  logCall(context, call, error.code)
  return failure(call.id, error)
}

export function failure(id: number, error: DfsError): Parts {
  const fields = { code: error.wireNumber, message: fitting(toldToClient(error)) }
  return frame(frameKind.failure, id, failureCodec, fields)
}

/**
 * The message without what Node, SQLite or a bug said: there are paths of this server in that, and it is for its own
 * log. The code says what a client needs.
 */
function toldToClient(error: DfsError): string {
  for (let { cause } = error; cause instanceof Error; cause = cause.cause) {
    const isForeign = !(cause instanceof DfsError)
    if (isForeign && error.message.includes(cause.message)) return new DfsError(error.code).message
  }
  return error.message
}

/** One line per operation, with its outcome. */
export function logCall(context: Context, call: NowCall | LaterCall, outcome: string): void {
  if (debugDfs.enabled) debugDfs('%s #%d %s: %s', context.account.user, call.id, call.verb, outcome)
}

export function answer<V extends Verb>(
  verb: V,
  id: number,
  reply: unknown,
  version: number,
  payload?: Parts,
): Parts {
  const { number, reply: codec } = messages[verb]
  return frame(number + frameKind.reply, id, codec as Codec<unknown>, reply, payload, version)
}

/** The failure's codec takes 4096 bytes, a character of UTF-8 at most 4 of them. */
function fitting(message: string): string {
  return message.slice(0, 1024)
}
