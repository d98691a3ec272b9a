/**
 * One open(2) of a folder: lists it page by page. A position is the number of the next name, so that
 * the kernel can go on where its buffer was full, and a program can go back; only the current page and
 * where the others begin is remembered.
 */
import type { Namespace } from '../dfc/namespace.js'
import type { ListedName } from '../dfc/node.js'

interface Page {
  /** The number of its first name. */
  readonly first: number
  readonly names: readonly ListedName[]
  readonly more: boolean
}

export class OpenFolder {
  readonly ino: number
  readonly #namespace: Pick<Namespace, 'cachedEntry' | 'known' | 'list'>
  readonly #onPage: (names: readonly ListedName[]) => void
  #page: Page | undefined
  /** For each page: the number of its first name, and the name before that. */
  #starts: { readonly first: number; readonly after: string }[] = [{ first: 0, after: '' }]

  /** `onPage` is told of each page when it has come. */
  constructor(
    namespace: Pick<Namespace, 'cachedEntry' | 'known' | 'list'>,
    ino: number,
    onPage: (names: readonly ListedName[]) => void = () => {},
  ) {
    this.#namespace = namespace
    this.#onPage = onPage
    this.ino = ino
  }

  /**
   * Names from the number `from` on, at least one unless there are no more. From 0 on the folder is
   * read anew; and from `from` on where what was read is so old that others may have changed it since: that
   * is one question, and without it there would be one for each name that is looked at.
   */
  async read(from: number): Promise<readonly ListedName[]> {
    if (from === 0) {
      this.#page = undefined
      this.#starts = [{ first: 0, after: '' }]
    }
    let page = this.#page
    if (page === undefined || from < page.first) page = await this.#load(this.#startOf(from))
    while (from >= page.first + page.names.length) {
      const last = page.names.at(-1)
      if (!page.more || last === undefined) return []
      page = await this.#load({ first: page.first + page.names.length, after: last.name })
    }
    if (!this.#isKnown(page.names[from - page.first])) {
      const after = page.names[from - page.first - 1]?.name ?? this.#startOf(from).after
      return (await this.#load({ first: from, after })).names
    }
    return page.names.slice(from - page.first)
  }

  /** Also that a name is not there any more is known. */
  #isKnown(listed: ListedName | undefined): boolean {
    if (listed === undefined) return true
    const { name } = listed
    const isThere = this.#namespace.cachedEntry(this.ino, name) !== undefined
    return isThere || this.#namespace.known(this.ino, name) === null
  }

  #startOf(from: number): { readonly first: number; readonly after: string } {
    return this.#starts.findLast(({ first }) => first <= from) ?? { first: 0, after: '' }
  }

  async #load(start: { readonly first: number; readonly after: string }): Promise<Page> {
    const { entries, more } = await this.#namespace.list(this.ino, start.after)
    this.#page = { first: start.first, names: entries, more }
    if ((this.#starts.at(-1)?.first ?? 0) < start.first) this.#starts.push(start)
    this.#onPage(entries)
    return this.#page
  }
}
