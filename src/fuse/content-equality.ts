/** Whether two contents are the same bytes: segments never change, so their slices tell. Pure. */
import { dataSlices } from '../dfc/extents.js'
import type { Content } from '../dfc/node.js'

/** True only when they certainly are. */
export function sameContent(a: Content, b: Content): boolean {
  return a === b || (a.size === b.size && isPrefix(a, b))
}

/** True when `longer` certainly begins with all of `shorter`: it was appended to. */
export function isPrefix(shorter: Content, longer: Content): boolean {
  if (shorter.size > longer.size) return false
  const a = dataSlices(shorter)
  const b = dataSlices(longer, 0, shorter.size)
  return (
    a.length === b.length &&
    a.every((slice, index) => {
      const other = b[index]
      return (
        other !== undefined &&
        other.at === slice.at &&
        other.length === slice.length &&
        other.offset === slice.offset &&
        other.segment.id === slice.segment.id
      )
    })
  )
}
