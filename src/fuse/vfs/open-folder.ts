/**
 * One open(2) of a folder. Lists it page by page, from any position on (`positions.ts`), so that the kernel can
 * continue where its buffer was full, and a program can go back. The latest pages are remembered.
 */

import assert from 'node:assert/strict'
import type { ListedName } from '../../dfc/namespace/cache/node.js'
import type { Listing, Lookup } from '../../dfc/namespace/lookup.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { ListingAs } from './kernel-view.js'
import { beginning, type Positions, positionBehind } from './positions.js'

/** Consecutive names of a folder, from one answer of the servers. */
export type ReadNames = Pick<Listing, 'entries' | 'asked'>

interface Page extends Pick<Listing, 'entries' | 'asked' | 'more'> {
  /** The page has the names behind this one. */
  readonly after: string
  /** Index of a name by the position behind it; built when needed. */
  indexes?: ReadonlyMap<number, number>
}

export interface OpenFolderOptions {
  readonly names: Pick<Lookup, 'cachedEntry' | 'known' | 'list' | 'pages'>
  readonly ino: number
  /** How the kernel treats its listing of the folder. */
  readonly as: ListingAs
  readonly positions: Pick<Positions, 'nameBefore'>
  /** Called with the names of each page that has arrived. */
  readonly onPage?: (names: readonly ListedName[]) => void
}

export class OpenFolder {
  readonly ino: number
  readonly as: ListingAs
  readonly #names: OpenFolderOptions['names']
  readonly #positions: OpenFolderOptions['positions']
  readonly #onPage: NonNullable<OpenFolderOptions['onPage']>
  /** The remembered pages. The one used last is the last. */
  #pages: readonly Page[] = []

  constructor({ names, ino, as, positions, onPage = () => {} }: OpenFolderOptions) {
    this.as = as
    this.#names = names
    this.#positions = positions
    this.#onPage = onPage
    this.ino = ino
  }

  /**
   * Returns the names behind the position `from`, at least one unless there are no more. Reads the folder anew from
   * the beginning, and from `from` if the page is so old that others may have changed it: that is one question,
   * instead of one for each name that a program looks at. Throws `invalid` for a position that no name has and that
   * was not sent lately.
   */
  async read(from: number): Promise<ReadNames> {
    if (from <= beginning) {
      this.#pages = []
      return this.#load('')
    }
    for (const page of this.#pages.toReversed()) {
      const index = indexesOf(page).get(from)
      const name = index === undefined ? undefined : page.entries[index]?.name
      if (index === undefined || name === undefined) continue
      const next = page.entries[index + 1]
      if (next === undefined) {
        return page.more ? this.#behind(name) : { entries: [], asked: page.asked }
      }
      if (this.#isKnown(next)) {
        this.#use(page)
        return { entries: page.entries.slice(index + 1), asked: page.asked }
      }
      this.#drop(page)
      return this.#load(name)
    }
    return this.#behind(await this.#nameBefore(from))
  }

  async #behind(name: string): Promise<ReadNames> {
    const page = this.#pages.find(({ after }) => after === name)
    if (page === undefined || !this.#isKnown(page.entries[0])) return this.#load(name)
    this.#use(page)
    return page
  }

  /** Finds the name at a position that was sent too long ago, by searching the whole folder. */
  async #nameBefore(position: number): Promise<string> {
    const told = this.#positions.nameBefore(position)
    if (told !== undefined) return told
    for await (const { entries } of this.#names.pages(this.ino)) {
      const found = entries.find(({ name }) => positionBehind(name) === position)
      if (found !== undefined) return found.name
    }
    throw new DfsError('invalid')
  }

  /** Whether the name's node, or its absence, is known. */
  #isKnown(listed: ListedName | undefined): boolean {
    if (listed === undefined) return true
    const { name } = listed
    const isThere = this.#names.cachedEntry(this.ino, name) !== undefined
    return isThere || this.#names.known(this.ino, name) === null
  }

  async #load(after: string): Promise<Page> {
    const { entries, asked, more } = await this.#names.list(this.ino, after)
    const page = { after, entries, asked, more }
    this.#pages = this.#pages.filter((old) => old.after !== after)
    this.#use(page)
    this.#onPage(entries)
    return page
  }

  #use(page: Page): void {
    if (this.#pages.at(-1) === page) return
    this.#drop(page)
    assert(!this.#pages.some(({ after }) => after === page.after), 'one place has two pages')
    this.#pages = [...this.#pages, page].slice(-limits.folderPagesRememberedMax)
  }

  #drop(page: Page): void {
    this.#pages = this.#pages.filter((other) => other !== page)
  }
}

/**
 * Maps positions to indexes. Of two names with one position the later counts: a listing may then miss names, and
 * never loops.
 */
function indexesOf(page: Page): ReadonlyMap<number, number> {
  page.indexes ??= new Map(page.entries.map(({ name }, index) => [positionBehind(name), index]))
  return page.indexes
}
