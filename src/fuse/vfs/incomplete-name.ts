/** The suffix by which a listing marks a file of which pieces cannot be reached. */
import { byteLengthOf } from '../../byte-text.js'
import { limits } from '../../limits.js'

const suffix = ' [incomplete]'

/** Returns the name under which a listing shows a file. The suffix is left out where the name would be too long. */
export function shownName(name: string, isIncomplete: boolean): string {
  const shown = name + suffix
  return isIncomplete && byteLengthOf(shown) <= limits.nameBytesMax ? shown : name
}

/** Returns the name without the suffix, or undefined when it has none. */
export function plainName(name: string): string | undefined {
  const isSuffixed = name.length > suffix.length && name.endsWith(suffix)
  return isSuffixed ? name.slice(0, -suffix.length) : undefined
}
