/**
 * Walks through what several servers list, each in the same order, without keeping it: what is alike on some of them
 * comes once, with those that have it.
 */
import { limits } from '../../limits.js'
import { quorum } from '../../wire/quorum.js'

export interface Page<Item> {
  readonly items: readonly Item[]
  readonly more: boolean
}

export interface Shown<Item> {
  readonly item: Item
  /** The servers that list it so. */
  readonly holders: readonly number[]
}

interface Lists<Item> {
  /** A server's page behind an item, the first one behind none. */
  pageOf(server: number, last: Item | undefined): Promise<Page<Item>>
  /** Negative where `a` comes before `b`, 0 where they are alike. */
  compare(a: Item, b: Item): number
}

/**
 * Yields what `servers` list. One that goes back, or alone lists too much, is not listened to any further: it would
 * keep a repair busy for ever.
 */
export async function* walkTogether<Item>(
  servers: readonly number[],
  lists: Lists<Item>,
): AsyncGenerator<Shown<Item>, void, void> {
  const walks = servers.map((server) => new Walk(server, lists))
  await Promise.all(walks.map((walk) => walk.advance()))
  for (;;) {
    const least = walks.reduce<Item | undefined>((best, { item }) => {
      const isFirst = best === undefined || (item !== undefined && lists.compare(item, best) < 0)
      return isFirst ? item : best
    }, undefined)
    if (least === undefined) return
    const here = walks.filter(({ item }) => item !== undefined && lists.compare(item, least) === 0)
    yield { item: least, holders: here.map(({ server }) => server) }
    const [only, ...others] = here
    await Promise.all(here.filter((walk) => !walk.step()).map((walk) => walk.advance()))
    if (others.length === 0 && servers.length >= quorum.settle) only?.wasAlone()
  }
}

class Walk<Item> {
  readonly server: number
  readonly #lists: Lists<Item>
  #page: readonly Item[] = []
  #at = 0
  #more = true
  #last: Item | undefined
  #aloneCount = 0

  constructor(server: number, lists: Lists<Item>) {
    this.server = server
    this.#lists = lists
  }

  /** The item that it stands at; undefined at the end. */
  get item(): Item | undefined {
    return this.#page[this.#at]
  }

  /** Goes on within the page; false where the next one is needed. */
  step(): boolean {
    this.#at += 1
    return this.#at < this.#page.length
  }

  /** Fetches the next page that has something, if there is one. */
  async advance(): Promise<void> {
    while (this.#more && this.item === undefined) {
      const { items, more } = await this.#lists.pageOf(this.server, this.#last)
      this.#at = 0
      this.#page = items
      this.#more = more && items.length > 0
      for (const item of items) {
        if (this.#last !== undefined && this.#lists.compare(item, this.#last) <= 0) this.#end()
        this.#last = item
      }
    }
  }

  /** No other server lists what this one does. */
  wasAlone(): void {
    this.#aloneCount += 1
    if (this.#aloneCount > limits.loneEntriesMax) this.#end()
  }

  #end(): void {
    this.#more = false
    this.#page = []
  }
}
