/**
 * The binary encoding, as values that know both directions: a `Codec<T>` writes and reads one shape, and a message
 * lists its fields once for both sides. Integers are big-endian. A 64-bit number is a safe integer or an error; every
 * length is checked against its bound before memory is taken.
 */
import assert from 'node:assert/strict'
import { DfsError } from '../errors.js'
import { compiled } from '../node-internals.js'

const broken = (what: string): DfsError => new DfsError('protocol', what)

/** Appends to a buffer that grows as needed. */
export class Writer {
  /** The version of the protocol in which a message is written; undefined for what rests on a disk. */
  readonly version: number | undefined
  #bytes: Buffer
  #at = 0

  constructor(capacity = 256, version?: number) {
    this.#bytes = Buffer.allocUnsafe(capacity)
    this.version = version
  }

  /** Reserves `length` bytes and returns where they begin. */
  take(length: number): number {
    const at = this.#at
    this.#at += length
    if (this.#at > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#at, this.#bytes.length * 2))
      this.#bytes.copy(larger, 0, 0, at)
      this.#bytes = larger
    }
    return at
  }

  get buffer(): Buffer {
    return this.#bytes
  }

  /** Returns what was written. The writer must not be used afterwards. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }
}

/** Walks over received bytes. Running out of them is a `protocol` error. */
export class Reader {
  readonly bytes: Buffer
  /** The version of the protocol in which a message was written; undefined for what rests on a disk. */
  readonly version: number | undefined
  #at: number

  constructor(bytes: Buffer, at = 0, version?: number) {
    this.bytes = bytes
    this.#at = at
    this.version = version
  }

  /** Steps over `length` bytes and returns where they begin. */
  take(length: number): number {
    const at = this.#at
    if (at + length > this.bytes.length) throw broken('message is truncated')
    this.#at += length
    return at
  }

  /** Returns everything not read yet, as a view. */
  rest(): Buffer {
    return this.bytes.subarray(this.#at)
  }

  get remaining(): number {
    return this.bytes.length - this.#at
  }
}

export interface Codec<T> {
  write(writer: Writer, value: T): void
  read(reader: Reader): T
}

export type Value<C> = C extends Codec<infer T> ? T : never

function assertUnsigned(value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) throw broken(`${value} exceeds ${max}`)
}

export const u8: Codec<number> = {
  write(writer, value) {
    assertUnsigned(value, 0xff)
    const at = writer.take(1)
    writer.buffer[at] = value
  },
  read: (reader) => reader.bytes.readUInt8(reader.take(1)),
}

export const u16: Codec<number> = {
  write(writer, value) {
    assertUnsigned(value, 0xffff)
    const at = writer.take(2)
    writer.buffer.writeUInt16BE(value, at)
  },
  read: (reader) => reader.bytes.readUInt16BE(reader.take(2)),
}

export const u32: Codec<number> = {
  write(writer, value) {
    assertUnsigned(value, 0xffff_ffff)
    const at = writer.take(4)
    writer.buffer.writeUInt32BE(value, at)
  },
  read: (reader) => reader.bytes.readUInt32BE(reader.take(4)),
}

/** 0 .. 2^53 - 1 in eight bytes. */
export const u64: Codec<number> = {
  write(writer, value) {
    if (!Number.isSafeInteger(value) || value < 0) throw broken(`${value} is not a safe integer`)
    const at = writer.take(8)
    writer.buffer.writeUInt32BE(Math.floor(value / 2 ** 32), at)
    writer.buffer.writeUInt32BE(value % 2 ** 32, at + 4)
  },
  read(reader) {
    const at = reader.take(8)
    const value = reader.bytes.readUInt32BE(at) * 2 ** 32 + reader.bytes.readUInt32BE(at + 4)
    if (!Number.isSafeInteger(value)) throw broken('a 64-bit number is out of range')
    return value
  },
}

/** -(2^53 - 1) .. 2^53 - 1 in eight bytes, two's complement. */
export const i64: Codec<number> = {
  write(writer, value) {
    if (!Number.isSafeInteger(value)) throw broken(`${value} is not a safe integer`)
    const at = writer.take(8)
    writer.buffer.writeInt32BE(Math.floor(value / 2 ** 32), at)
    writer.buffer.writeUInt32BE(value - Math.floor(value / 2 ** 32) * 2 ** 32, at + 4)
  },
  read(reader) {
    const at = reader.take(8)
    const value = reader.bytes.readInt32BE(at) * 2 ** 32 + reader.bytes.readUInt32BE(at + 4)
    if (!Number.isSafeInteger(value)) throw broken('a 64-bit number is out of range')
    return value
  },
}

export const boolean: Codec<boolean> = {
  write: (writer, value) => u8.write(writer, value ? 1 : 0),
  read(reader) {
    const value = u8.read(reader)
    if (value > 1) throw broken('a boolean is neither 0 nor 1')
    return value === 1
  },
}

/** One of `names`, encoded as its position in the list. */
export function oneOf<const N extends readonly string[]>(...names: N): Codec<N[number]> {
  return {
    write: (writer, value) => u8.write(writer, names.indexOf(value)),
    read(reader) {
      const name = names[u8.read(reader)]
      if (name === undefined) throw broken(`not one of ${names.join(', ')}`)
      return name
    },
  }
}

/** At most `lengthMax` bytes behind their u32 length. The bytes read are a view of the input. */
export function bytes(lengthMax: number): Codec<Buffer> {
  return {
    write(writer, value) {
      if (value.length > lengthMax) throw broken(`${value.length} bytes exceed ${lengthMax}`)
      u32.write(writer, value.length)
      const at = writer.take(value.length)
      value.copy(writer.buffer, at)
    },
    read(reader) {
      const length = u32.read(reader)
      if (length > lengthMax) throw broken(`${length} bytes exceed ${lengthMax}`)
      const at = reader.take(length)
      return reader.bytes.subarray(at, at + length)
    },
  }
}

/** Exactly `length` bytes as 2 * length lower-case hexadecimal digits. */
export function hex(length: number): Codec<string> {
  return {
    write(writer, value) {
      const at = writer.take(length)
      const written = writer.buffer.write(value, at, length, 'hex')
      if (written !== length || value.length !== length * 2) throw broken(`not ${length} hex bytes`)
    },
    read(reader) {
      const at = reader.take(length)
      return reader.bytes.toString('hex', at, at + length)
    },
  }
}

/** UTF-8 text of at most `bytesMax` bytes behind its u16 length. Longer or malformed text is a `protocol` error. */
export function text(bytesMax: number): Codec<string> {
  return {
    write(writer, value) {
      const length = Buffer.byteLength(value)
      if (length > bytesMax) throw broken(`text of ${length} bytes exceeds ${bytesMax}`)
      u16.write(writer, length)
      const at = writer.take(length)
      writer.buffer.write(value, at, length, 'utf8')
    },
    read(reader) {
      const length = u16.read(reader)
      if (length > bytesMax) throw broken(`text of ${length} bytes exceeds ${bytesMax}`)
      const at = reader.take(length)
      const value = reader.bytes.toString('utf8', at, at + length)
      // Invalid UTF-8 turns into U+FFFD: only then is the exact comparison worth its time.
      if (
        value.includes('\ufffd') &&
        Buffer.compare(Buffer.from(value), reader.bytes.subarray(at, at + length)) !== 0
      ) {
        throw broken('text is not UTF-8')
      }
      return value
    },
  }
}

/** At most `countMax` items behind their u32 count. */
export function list<T>(item: Codec<T>, countMax: number): Codec<readonly T[]> {
  return {
    write(writer, value) {
      if (value.length > countMax) throw broken(`${value.length} items exceed ${countMax}`)
      u32.write(writer, value.length)
      for (const element of value) item.write(writer, element)
    },
    read(reader) {
      const count = u32.read(reader)
      // An item takes at least one byte, so a larger count is a lie, refused before memory is taken.
      if (count > countMax || count > reader.remaining) throw broken(`${count} items exceed bounds`)
      const items: T[] = []
      for (let index = 0; index < count; index += 1) items.push(item.read(reader))
      return items
    },
  }
}

/** A value that may be absent (`null`). */
export function optional<T>(inner: Codec<T>): Codec<T | null> {
  return {
    write(writer, value) {
      boolean.write(writer, value !== null)
      if (value !== null) inner.write(writer, value)
    },
    read: (reader) => (boolean.read(reader) ? inner.read(reader) : null),
  }
}

/**
 * A field that messages have from version `first` of the protocol on. In an older one it does not travel: it is not
 * written, and reads as `absent`. What rests on a disk has no version, and must not have such fields.
 */
export function since<T>(first: number, field: Codec<T>, absent: T): Codec<T> {
  return {
    write(writer, value) {
      if (isIn(writer.version, first)) field.write(writer, value)
    },
    read: (reader) => (isIn(reader.version, first) ? field.read(reader) : absent),
  }
}

function isIn(version: number | undefined, first: number): boolean {
  assert(version !== undefined, 'a field that depends on the version, where there is none')
  return version >= first
}

type Fields = Readonly<Record<string, Codec<never>>>
type StructOf<F> = { readonly [K in keyof F]: Value<F[K]> }

const fieldName = /^[a-zA-Z][a-zA-Z0-9]*$/

/**
 * Fields in the order in which they are named, on the wire as in the source. Its two functions are compiled from the
 * names, as if written by hand. A loop over the names, used where no code can be compiled, costs a server a tenth of
 * its time, since V8 never knows which object it makes.
 */
export function struct<F extends { readonly [K in keyof F]: F[K] }>(fields: F): Codec<StructOf<F>> {
  const names = Object.keys(fields)
  for (const name of names) if (!fieldName.test(name)) throw new RangeError(`field "${name}"`)
  const codecs = names.map((name) => (fields as unknown as Fields)[name])
  const given = names.map((_, index) => `c${index}`)
  const writes = names.map((name, index) => `c${index}.write(writer, value.${name});`)
  const reads = names.map((name, index) => `${name}: c${index}.read(reader),`)
  const make = compiled(
    given,
    `return {
      write(writer, value) { ${writes.join(' ')} },
      read(reader) { return { ${reads.join(' ')} } },
    }`,
  )
  return (make === undefined ? looped(fields as unknown as Fields) : make(...codecs)) as Codec<
    StructOf<F>
  >
}

/** A struct codec that loops over its fields. Fallback for where no code can be compiled. */
function looped(fields: Fields): Codec<Readonly<Record<string, unknown>>> {
  const pairs = Object.entries(fields) as unknown as readonly (readonly [string, Codec<unknown>])[]
  return {
    write(writer, value) {
      for (const [name, codec] of pairs) codec.write(writer, value[name])
    },
    read: (reader) => Object.fromEntries(pairs.map(([name, codec]) => [name, codec.read(reader)])),
  }
}

/** Encodes `value` into a buffer of its own. `version`: that of the protocol, for what is part of a message. */
export function encode<T>(codec: Codec<T>, value: T, version?: number): Buffer {
  const writer = new Writer(undefined, version)
  codec.write(writer, value)
  return writer.finish()
}

/** Decodes the value that `encoded` holds. Left-over bytes are a `protocol` error. */
export function decode<T>(codec: Codec<T>, encoded: Buffer, version?: number): T {
  const reader = new Reader(encoded, 0, version)
  const value = codec.read(reader)
  if (reader.remaining !== 0) throw broken(`${reader.remaining} bytes too many`)
  return value
}
