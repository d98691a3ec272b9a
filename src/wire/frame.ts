/**
 * Frames cut a byte stream into messages: u32 length of what follows, u8 kind, u32 request id, the message's fields,
 * and behind them the payload, if it has one. `FrameParser` assembles arriving bytes into whole frames and takes no
 * memory for a length that is out of bounds.
 */
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import { type Codec, Reader, u8, u32, Writer } from './codec.js'

/** Kinds of frames. `recall` is the only one that a server sends unasked: see the verb `lease`. */
export const frameKind = { request: 0, recall: 0x7f, reply: 0x80, failure: 0xff } as const

const prefixBytes = 4
const headBytes = 5

export interface Frame {
  /** A request's verb number, a reply's verb number plus `frameKind.reply`, or `frameKind.failure`. */
  readonly kind: number
  readonly id: number
  /** Positioned at the message's fields. What they leave is the payload. */
  readonly reader: Reader
  /** Gives the frame's memory back, if it is lent. The frame's bytes must not be read afterwards. */
  readonly release: (() => void) | undefined
}

/** Reusable memory that big frames are received into. */
export interface FrameMemory {
  /** Returns a buffer of at least `length` bytes for a frame of this kind, or undefined when there is none. */
  take(kind: number, length: number): Buffer | undefined
  give(buffer: Buffer): void
}

/** Encodes a frame as parts to send in order, in a version of the protocol. `payload` is not copied. */
export function frame<T>(
  kind: number,
  id: number,
  codec: Codec<T>,
  fields: T,
  payload: readonly Uint8Array[] = [],
  version?: number,
): readonly Uint8Array[] {
  const writer = new Writer(512, version)
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

/** Encodes the frame by which a server wants a lease back: the head alone, with the id 0, which no request has. */
export function recallFrame(): readonly Uint8Array[] {
  const bytes = Buffer.alloc(prefixBytes + headBytes)
  bytes.writeUInt32BE(headBytes, 0)
  bytes.writeUInt8(frameKind.recall, prefixBytes)
  return [bytes]
}

/** Size of the buffer that a frame's bytes arrive in before its length is known. */
const scratchBytes = 16 * 1024

/** Turns arriving bytes into frames. After an error it must not be fed again. */
export class FrameParser {
  /** The version of the protocol in which frames from now on are read, once both sides know it. */
  version: number | undefined
  readonly #onFrame: (frame: Frame) => void
  readonly #bytesMax: number
  readonly #memory: FrameMemory | undefined
  /** The length and kind of the frame that arrives. The kind decides whether its memory may be lent. */
  readonly #prefix = Buffer.alloc(prefixBytes + 1)
  #prefixFilled = 0
  /** The beginning of a large frame for which no memory was taken yet: its receiver may not be read from for long. */
  #beginning: { readonly length: number; readonly bytes: Buffer } | undefined
  #body: Buffer | undefined
  #bodyFilled = 0
  #lent: Buffer | undefined
  /** Receives bytes by way of `buffer()`. Nothing in it is kept. */
  #scratch: Buffer | undefined

  /** `bytesMax` bounds a frame: small before authentication, `limits.frameBytesMax` afterwards. */
  constructor(
    onFrame: (frame: Frame) => void,
    bytesMax: number = limits.frameBytesMax,
    memory?: FrameMemory,
  ) {
    this.#onFrame = onFrame
    this.#bytesMax = bytesMax
    this.#memory = memory
  }

  /** Bytes of memory that an incomplete frame takes, from the next byte of it on. */
  get heldBytes(): number {
    return this.#beginning?.length ?? this.#body?.length ?? 0
  }

  /**
   * Returns memory to receive the next bytes into, so that `feed` need not copy them. Ask again after every `feed`.
   */
  buffer(): Buffer {
    if (this.#body !== undefined) return this.#body.subarray(this.#bodyFilled)
    this.#scratch ??= Buffer.allocUnsafeSlow(scratchBytes)
    return this.#scratch
  }

  /** Gives back memory lent for an incomplete frame. Nothing may be fed afterwards. */
  close(): void {
    this.#beginning = undefined
    this.#body = undefined
    if (this.#lent !== undefined) this.#memory?.give(this.#lent)
    this.#lent = undefined
  }

  /** Takes the next bytes. Throws `protocol` when the peer announces a frame that is out of bounds. */
  feed(chunk: Buffer): void {
    let at = 0
    if (this.#beginning !== undefined && chunk.length > 0) this.#goOn(this.#beginning)
    while (at < chunk.length) {
      if (this.#body === undefined) {
        at = this.#feedPrefix(chunk, at)
        continue
      }
      const isInPlace = isAt(chunk, this.#body, this.#bodyFilled)
      const copied = isInPlace ? chunk.length : chunk.copy(this.#body, this.#bodyFilled, at)
      this.#bodyFilled += copied
      at += copied
      if (this.#bodyFilled === this.#body.length) {
        const [body, lent] = [this.#body, this.#lent]
        this.#body = undefined
        this.#lent = undefined
        this.#emit(body, lent)
      }
    }
  }

  #feedPrefix(chunk: Buffer, start: number): number {
    const copied = chunk.copy(this.#prefix, this.#prefixFilled, start)
    this.#prefixFilled += copied
    const at = start + copied
    if (this.#prefixFilled < prefixBytes) return at
    const length = this.#prefix.readUInt32BE(0)
    if (length < headBytes || length > this.#bytesMax) {
      throw new DfsError('protocol', `a frame of ${length} bytes was announced`)
    }
    if (this.#prefixFilled === prefixBytes) return at
    this.#prefixFilled = 0
    const bodyAt = at - 1
    if (chunk.length - bodyAt >= length && length <= limits.blockBytes) {
      // A common small message arrived whole in memory of its own: it is read where it lies.
      const body = chunk.subarray(bodyAt, bodyAt + length)
      this.#emit(chunk.buffer === this.#scratch?.buffer ? Buffer.from(body) : body, undefined)
      return bodyAt + length
    }
    if (chunk.length - bodyAt < length && length > limits.blockBytes) {
      this.#beginning = { length, bytes: Buffer.from(chunk.subarray(bodyAt)) }
      return chunk.length
    }
    this.#body = this.#takeMemory(length)
    this.#bodyFilled = 0
    return bodyAt
  }

  /** Takes memory for a large frame of which more has arrived. */
  #goOn({ length, bytes }: { readonly length: number; readonly bytes: Buffer }): void {
    this.#beginning = undefined
    this.#body = this.#takeMemory(length)
    this.#bodyFilled = bytes.copy(this.#body)
  }

  /**
   * Takes memory for a frame. Lent memory is filled up to its end, so that a payload of whole pages lies on pages.
   */
  #takeMemory(length: number): Buffer {
    const kind = this.#prefix.readUInt8(prefixBytes)
    this.#lent = this.#memory?.take(kind, length)
    return this.#lent?.subarray(this.#lent.length - length) ?? Buffer.allocUnsafeSlow(length)
  }

  #emit(body: Buffer, lent: Buffer | undefined): void {
    const memory = this.#memory
    this.#onFrame({
      kind: body.readUInt8(0),
      id: body.readUInt32BE(1),
      reader: new Reader(body, headBytes, this.version),
      release: lent === undefined ? undefined : () => memory?.give(lent),
    })
  }
}

/** Whether `chunk` is the memory at `at` of `body`. */
function isAt(chunk: Buffer, body: Buffer, at: number): boolean {
  return chunk.buffer === body.buffer && chunk.byteOffset === body.byteOffset + at
}
