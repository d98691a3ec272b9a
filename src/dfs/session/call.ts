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
  type LaterRow,
  type NowRow,
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
}

export type NowCall = Call & { readonly kind: 'now'; readonly row: NowRow<ServedVerb> }
/** `bytes`: what it holds in memory, the request's payload and the reply's. */
export type LaterCall = Call & {
  readonly kind: 'later'
  readonly row: LaterRow<ServedVerb>
  readonly bytes: number
  /** Gives back the memory that the request came in, when it was answered or never will be. */
  readonly release: (() => void) | undefined
}

/** Throws `protocol` when the frame is no request that may come after the handshake. */
export function parseCall({ kind, id, reader, release }: Frame): NowCall | LaterCall {
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
  if (row.answered === 'now') return { kind: 'now', row, id, verb, request, payload, entry }
  const replyBytes = messages[verb].payload === 'reply' ? limits.framePayloadBytesMax : 0
  const bytes = payload.length + replyBytes
  return { kind: 'later', row, id, verb, request, payload, entry, bytes, release }
}

/** Runs a synchronous request in the group of the index that is running. Throws what the handler throws. */
export function runNow(context: Context, call: NowCall): Parts {
  context.account.index.assertInGroup()
  const { id, verb, row, request, payload, entry } = call
  const { acceptor } = context.account
  acceptor.assertIs(row.account)
  if (row.votes === 'flushed') acceptor.applyLate()
  return answer(verb, id, row.run(context, request, payload, entry))
}

/** Runs a request that takes its time. Rejects only when an assertion failed. */
export async function runLater(context: Context, call: LaterCall): Promise<LaterAnswer> {
  const { id, verb, row, request, payload, entry } = call
  try {
    context.account.acceptor.assertIs(row.account)
    if (row.votes === 'flushed') context.account.applyLate()
    const result = await row.run(context, request, payload, entry)
    logCall(context, call, 'ok')
    if (!(result instanceof WithPayload)) return { parts: answer(verb, id, result) }
    const { bytes, release } = result.payload
    return { parts: answer(verb, id, result.reply, [bytes]), sent: release }
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
  if (isError(error, 'damaged', 'disk')) context.account.giveUp(error)
  if (isError(error, 'io', 'tooManyOpen') && !(thrown instanceof DfsError)) {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    notice(`${context.account.user}: ${call.verb} failed: ${text}`)
  }
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
  payload?: Parts,
): Parts {
  const { number, reply: codec } = messages[verb]
  return frame(number + frameKind.reply, id, codec as Codec<unknown>, reply, payload)
}

/** The failure's codec takes 4096 bytes, a character of UTF-8 at most 4 of them. */
function fitting(message: string): string {
  return message.slice(0, 1024)
}
