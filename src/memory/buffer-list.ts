/** Byte strings as lists of buffers that are viewed and never copied, as segments and answers are made of. */

const zeros = Buffer.alloc(1024 * 1024)

/** Returns the bytes `start` .. `start + length` of the concatenation of `parts`, as views. */
export function sliceBuffers(parts: readonly Buffer[], start: number, length: number): Buffer[] {
  const slice: Buffer[] = []
  const end = start + length
  let at = 0
  for (const part of parts) {
    if (at >= end) break
    const from = Math.max(start - at, 0)
    const to = Math.min(end - at, part.length)
    if (from < to) slice.push(part.subarray(from, to))
    at += part.length
  }
  return slice
}

export function lengthOfBuffers(parts: readonly Buffer[]): number {
  let length = 0
  for (const part of parts) length += part.length
  return length
}

/** Appends `next`. When it lies right behind the last part in memory, both become one view. */
export function appendBuffer(parts: Buffer[], next: Buffer): void {
  const last = parts.at(-1)
  if (last?.buffer === next.buffer && last.byteOffset + last.length === next.byteOffset) {
    parts[parts.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + next.length)
  } else {
    parts.push(next)
  }
}

/** Returns `length` zeros as views of one shared buffer, which must not be written to. */
export function zeroBuffers(length: number): Buffer[] {
  const parts: Buffer[] = []
  for (let left = length; left > 0; left -= zeros.length) {
    parts.push(zeros.subarray(0, Math.min(left, zeros.length)))
  }
  return parts
}

/** Joins all parts into one buffer. A single part is returned as it is. */
export function joinBuffers(parts: readonly Buffer[]): Buffer {
  const [only] = parts
  return only !== undefined && parts.length === 1 ? only : Buffer.concat(parts)
}
