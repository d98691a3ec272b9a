/**
 * The packed form of many extents. Each is encoded as the gap before it, its length, its segment, and its offset in
 * that segment only if it is not where the previous extent of the same segment ended. Blocks of 4 KiB written here
 * and there take about six bytes each instead of twenty.
 */
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import { type Codec, type Reader, u32, type Writer } from './codec.js'

/** One extent, with the fields of `Extent` in records.ts. */
export interface PlainExtent {
  readonly at: number
  readonly segment: number
  readonly offset: number
  readonly length: number
}

const u32Max = 0xffff_ffff
/** Gap, length and segment take at least a byte each. */
const extentBytesMin = 3
/** Seven bits a byte: with more bytes a number would not be a safe integer. */
const numberBytesMax = 8

export const packedExtents: Codec<readonly PlainExtent[]> = {
  write(writer, extents) {
    if (extents.length > limits.extentsMax) throw new DfsError('tooManyExtents')
    u32.write(writer, extents.length)
    const expected = new Map<number, number>()
    let end = 0
    for (const { at, segment, offset, length } of extents) {
      const goesOn = (expected.get(segment) ?? 0) === offset
      writeNumber(writer, at - end)
      writeNumber(writer, length)
      writeNumber(writer, segment * 2 + (goesOn ? 1 : 0))
      if (!goesOn) writeNumber(writer, offset)
      expected.set(segment, offset + length)
      end = at + length
    }
  },
  read(reader) {
    const extents: PlainExtent[] = []
    walkPackedExtents(reader, (extent) => extents.push(extent))
    return extents
  },
}

/** Bytes that these extents take in the packed form. */
export function packedBytes(extents: readonly PlainExtent[]): number {
  const expected = new Map<number, number>()
  let bytes = 4
  let end = 0
  for (const { at, segment, offset, length } of extents) {
    bytes += numberBytes(at - end) + numberBytes(length) + numberBytes(segment * 2)
    if ((expected.get(segment) ?? 0) !== offset) bytes += numberBytes(offset)
    expected.set(segment, offset + length)
    end = at + length
  }
  return bytes
}

/** Calls `visit` for each packed extent. Throws `protocol` for bytes that cannot be extents. */
export function walkPackedExtents(reader: Reader, visit: (extent: PlainExtent) => void): void {
  const count = u32.read(reader)
  if (count > limits.extentsMax || count * extentBytesMin > reader.remaining) {
    throw new DfsError('protocol', `${count} extents in ${reader.remaining} bytes`)
  }
  const expected = new Map<number, number>()
  let end = 0
  for (let index = 0; index < count; index += 1) {
    const at = end + readNumber(reader)
    const length = readNumber(reader)
    const coded = readNumber(reader)
    const segment = Math.floor(coded / 2)
    const offset = coded % 2 === 1 ? (expected.get(segment) ?? 0) : readNumber(reader)
    end = at + length
    if (length > u32Max || segment > u32Max || offset > u32Max || !Number.isSafeInteger(end)) {
      throw new DfsError('protocol', 'an extent is out of range')
    }
    expected.set(segment, offset + length)
    visit({ at, segment, offset, length })
  }
}

/** Writes seven bits a byte, the lowest first. The highest bit says that more follow. */
function writeNumber(writer: Writer, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new DfsError('protocol', `${value} is no part of an extent`)
  }
  let rest = value
  while (rest > 0x7f) {
    const at = writer.take(1)
    writer.buffer[at] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  const at = writer.take(1)
  writer.buffer[at] = rest
}

function numberBytes(value: number): number {
  let count = 1
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) count += 1
  return count
}

function readNumber(reader: Reader): number {
  let value = 0
  let unit = 1
  for (let index = 0; index < numberBytesMax; index += 1) {
    const byte = reader.bytes.readUInt8(reader.take(1))
    value += (byte & 0x7f) * unit
    if (byte < 0x80) {
      if (Number.isSafeInteger(value)) return value
      break
    }
    unit *= 0x80
  }
  throw new DfsError('protocol', 'a packed number is too large')
}
