/**
 * Frames cut a byte stream into messages: u32 length of what follows, u8 kind, u32 request id, the
 * message's fields, and behind them the payload, if it has one. `FrameParser` collects what arrives
 * into whole frames and takes no memory for a length that is out of bounds.
 */
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import { type Codec, Reader, u8, u32, Writer } from './codec.js'

/** `recall` is the only frame that a server sends without being asked: see the verb `lease`. */
export const frameKind = { request: 0, recall: 0x7f, reply: 0x80, failure: 0xff } as const

const prefixBytes = 4
const headBytes = 5

export interface Frame {
  /** Verb number of a request; the same plus `frameKind.reply` of its reply; or `failure`. */
  readonly kind: number
  readonly id: number
  /** Stands at the message's fields; what they leave is the payload. */
  readonly reader: Reader
}

/** A frame as parts to send in order; `payload` is not copied. */
export function frame<T>(
  kind: number,
  id: number,
  codec: Codec<T>,
  fields: T,
  payload: readonly Uint8Array[] = [],
): readonly Uint8Array[] {
  const writer = new Writer(512)
  writer.take(prefixBytes)
  u8.write(writer, kind)
  u32.write(writer, id)
  codec.write(writer, fields)
  const head = writer.finish()
  let length = head.length - prefixBytes
  for (const part of payload) length += part.length
  if (length > limits.frameBytesMax) throw new DfsError('protocol', `frame of ${length} bytes`)
  head.writeUInt32BE(length, 0)
  return [head, ...payload]
}

/** A server wants its lease back: a frame of the head alone, with the id 0, which no request has. */
export function recallFrame(): readonly Uint8Array[] {
  const bytes = Buffer.alloc(prefixBytes + headBytes)
  bytes.writeUInt32BE(headBytes, 0)
  bytes.writeUInt8(frameKind.recall, prefixBytes)
  return [bytes]
}

/** Turns arriving bytes into frames. After an error it must not be fed again. */
export class FrameParser {
  readonly #onFrame: (frame: Frame) => void
  readonly #bytesMax: number
  readonly #prefix = Buffer.alloc(prefixBytes)
  #prefixFilled = 0
  #body: Buffer | undefined
  #bodyFilled = 0

  /** `bytesMax` bounds a frame: small before authentication, `frameBytesMax` afterwards. */
  constructor(onFrame: (frame: Frame) => void, bytesMax: number = limits.frameBytesMax) {
    this.#onFrame = onFrame
    this.#bytesMax = bytesMax
  }

  /** Bytes of memory held for a frame that is not complete. */
  get heldBytes(): number {
    return this.#body?.length ?? 0
  }

  /** Throws `protocol` when the peer announces a frame that cannot be. */
  feed(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#body === undefined) {
        at = this.#feedPrefix(chunk, at)
        continue
      }
      const copied = chunk.copy(this.#body, this.#bodyFilled, at)
      this.#bodyFilled += copied
      at += copied
      if (this.#bodyFilled === this.#body.length) {
        const body = this.#body
        this.#body = undefined
        this.#emit(body)
      }
    }
  }

  #feedPrefix(chunk: Buffer, start: number): number {
    const copied = chunk.copy(this.#prefix, this.#prefixFilled, start)
    this.#prefixFilled += copied
    const at = start + copied
    if (this.#prefixFilled < prefixBytes) return at
    this.#prefixFilled = 0
    const length = this.#prefix.readUInt32BE(0)
    if (length < headBytes || length > this.#bytesMax) {
      throw new DfsError('protocol', `a frame of ${length} bytes was announced`)
    }
    if (chunk.length - at >= length && length <= limits.blockBytes) {
      // The common small message arrived whole: look at it where it is.
      this.#emit(chunk.subarray(at, at + length))
      return at + length
    }
    this.#body = Buffer.allocUnsafeSlow(length)
    this.#bodyFilled = 0
    return at
  }

  #emit(body: Buffer): void {
    this.#onFrame({
      kind: body.readUInt8(0),
      id: body.readUInt32BE(1),
      reader: new Reader(body, headBytes),
    })
  }
}
