/** Bytes as lists of buffers that are looked at, never copied: what a segment or an answer is made of. */

const zeros = Buffer.alloc(1024 * 1024)

/** The bytes `start` .. `start + length` of the concatenation of `parts`, as views. */
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

/** Appends `next`, as one view with the last part when it stands right behind that in memory. */
export function appendBuffer(parts: Buffer[], next: Buffer): void {
  const last = parts.at(-1)
  if (last?.buffer === next.buffer && last.byteOffset + last.length === next.byteOffset) {
    parts[parts.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + next.length)
  } else {
    parts.push(next)
  }
}

/** `length` zeros, as views of one buffer: nobody may write to them. */
export function zeroBuffers(length: number): Buffer[] {
  const parts: Buffer[] = []
  for (let left = length; left > 0; left -= zeros.length) {
    parts.push(zeros.subarray(0, Math.min(left, zeros.length)))
  }
  return parts
}

/** All bytes in one buffer, which is the part itself when there is only one. */
export function joinBuffers(parts: readonly Buffer[]): Buffer {
  const [only] = parts
  return only !== undefined && parts.length === 1 ? only : Buffer.concat(parts)
}
