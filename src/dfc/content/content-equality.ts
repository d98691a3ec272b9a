/** Whether two contents are the same bytes: segments never change, so their extents tell. Pure. */
import type { Content } from './content.js'

/** Whether both are certainly the same bytes. False also when that cannot be told from the extents. */
export function sameContent(a: Content, b: Content): boolean {
  return a === b || (a.size === b.size && isPrefix(a, b))
}

/** True when `longer` certainly begins with all of `shorter`: it was appended to. */
export function isPrefix(shorter: Content, longer: Content): boolean {
  if (shorter.size > longer.size) return false
  const { extents } = shorter
  if (extents === longer.extents && shorter.segments === longer.segments) return true
  const next = longer.extents[extents.length]
  return (
    (next === undefined || next.at >= shorter.size) &&
    extents.every(({ at, length, offset, segment }, index) => {
      const other = longer.extents[index]
      return (
        other !== undefined &&
        other.at === at &&
        other.offset === offset &&
        Math.min(other.length, shorter.size - at) === length &&
        longer.segments[other.segment]?.id === shorter.segments[segment]?.id
      )
    })
  )
}
