/** Merges the pages of one folder that several servers have listed. Pure. */
import { compareTexts } from '../../byte-text.js'
import type { Listed, SeenInode } from '../../wire/messages.js'
import { quorum } from '../../wire/quorum.js'
import type { Version } from '../../wire/version.js'

/** A page of a folder as one server has it. */
export interface ServerPage {
  readonly folder: SeenInode
  readonly entries: readonly Listed[]
  /** Whether there are more names behind the last one. */
  readonly more: boolean
}

/**
 * A server's page is complete only up to its last name if it has more: what another one lists behind
 * the first such end is left for the next page. Of three replies and more one may be wrong about its end.
 */
export function cutAtHorizon(replies: readonly ServerPage[]): {
  readonly pages: readonly (readonly Listed[])[]
  readonly more: boolean
  /** Up to this name the page is complete, tombstones included: where the next one begins. */
  readonly end: string
} {
  const ends = replies.flatMap(({ more, entries }) => {
    const last = entries.at(-1)
    return more && last !== undefined ? [last.name] : []
  })
  const wrongMax = replies.length >= quorum.settle ? quorum.believe - 1 : 0
  const horizon = ends.sort(compareTexts)[wrongMax]
  if (horizon === undefined)
    return { pages: replies.map(({ entries }) => entries), more: false, end: '' }
  const pages = replies.map(({ entries }) =>
    entries.at(-1)?.name === horizon
      ? entries
      : entries.filter(({ name }) => compareTexts(name, horizon) <= 0),
  )
  return { pages, more: true, end: horizon }
}

/** The names of all pages in byte order, each with what every page says of it. */
export function mergedNames(
  pages: readonly (readonly Listed[])[],
): { readonly name: string; readonly seen: readonly (Listed | undefined)[] }[] {
  const byName = new Map<string, (Listed | undefined)[]>()
  for (const [index, page] of pages.entries()) {
    for (const listed of page) {
      const seen = byName.get(listed.name)
      if (seen !== undefined) seen[index] = listed
      else {
        const fresh = new Array<Listed | undefined>(pages.length).fill(undefined)
        fresh[index] = listed
        byName.set(listed.name, fresh)
      }
    }
  }
  const names = [...byName].map(([name, seen]) => ({ name, seen }))
  const [first] = pages
  // The usual case, every page alike, is in order already.
  if (first?.length === names.length) return names
  return names.sort((a, b) => compareTexts(a.name, b.name))
}

/** The pieces of each segment that any server holds, of those which have this version of the inode. */
export function heldByAny(
  seen: readonly (Listed | undefined)[],
  version: Version | undefined,
): Buffer {
  const held = seen.flatMap((one) =>
    one !== undefined && one.inode?.register.version === version ? [one.held] : [],
  )
  const [first, ...rest] = held
  if (first === undefined) return Buffer.alloc(0)
  return Buffer.from(first.map((mask, at) => rest.reduce((all, one) => all | (one[at] ?? 0), mask)))
}
