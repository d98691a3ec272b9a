/** Checks an inode by itself. Servers look at the form of an inode alone, and not at what it says. */
import { byteLengthOf } from '../../byte-text.js'
import { limits } from '../../limits.js'
import { fileType, type Inode, typeOf } from '../../wire/records.js'

const types = new Set<number>(Object.values(fileType).filter((type) => type !== fileType.mask))

/** Returns what is wrong with an inode, as the end of a sentence about it; undefined where nothing is. */
export function flawOf(inode: Inode): string | undefined {
  const type = typeOf(inode.mode)
  if (!types.has(type)) return 'is of no type that there is'
  if (inode.size > limits.fileBytesMax) return `has ${inode.size} bytes, more than a file can have`
  if (type === fileType.symlink) return flawOfLink(inode)
  if (type !== fileType.file && inode.segments.length > 0) return 'has content, and is no file'
  return flawOfContent(inode)
}

function flawOfLink({ target, size }: Inode): string | undefined {
  const length = byteLengthOf(target)
  const isTarget = length > 0 && length <= limits.symlinkBytesMax && !target.includes('\0')
  return isTarget && length === size
    ? undefined
    : 'is a symbolic link with a target that none can have'
}

function flawOfContent({ size, segments, extents }: Inode): string | undefined {
  if (segments.some(({ length }) => length < 1 || length > limits.segmentBytesMax)) {
    return 'has a segment of a length that none can have'
  }
  let end = 0
  for (const { at, segment, offset, length } of extents) {
    const there = segments[segment]?.length
    if (there === undefined) return 'has an extent of a segment that it does not list'
    if (offset + length > there) return 'has an extent beyond the end of its segment'
    if (length < 1 || at < end) return 'has extents that are empty, overlap or are out of order'
    end = at + length
  }
  return end > size ? 'has an extent beyond its end' : undefined
}
