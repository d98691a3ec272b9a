/** A list that is asked for page by page, each beginning after the last entry of the page before. */
import { DfsError } from '../errors.js'

/** How a list is ordered, and whose it is. */
export interface Order<Place> {
  /** The server that lists, or the list, for messages: `DFS4`. */
  readonly source: string
  isBefore(one: Place, other: Place): boolean
}

/**
 * Throws `protocol` unless the places of a page increase, from behind `after` on, and a page that says that there is
 * more has some. A list that passes this page by page repeats nothing.
 */
export function assertGetsOn<Place>(
  { source, isBefore }: Order<Place>,
  after: Place,
  places: readonly Place[],
  more: boolean,
): void {
  let last = after
  for (const place of places) {
    if (!isBefore(last, place)) {
      throw new DfsError('protocol', `${source} lists something twice, or not in its order`)
    }
    last = place
  }
  if (more && places.length === 0) {
    throw new DfsError('protocol', `${source} has a list that does not get on`)
  }
}

/**
 * Yields the pages of a long list, the first after `from`, until one says that there is no more. `ask` gets the
 * page after a place, `placesOf` says where the entries of a page are. A page is asked for when the page before has
 * been dealt with, and none once the caller leaves the loop. Throws `protocol` for a list that does not get on.
 */
export async function* pages<Place, Page extends { readonly more: boolean }>(
  from: Place,
  ask: (after: Place) => Promise<Page>,
  placesOf: (page: Page) => readonly Place[],
  order: Order<Place>,
): AsyncGenerator<Page, void, void> {
  for (let after = from, more = true; more; ) {
    const page = await ask(after)
    const places = placesOf(page)
    more = page.more
    assertGetsOn(order, after, places, more)
    yield page
    after = places.at(-1) ?? after
  }
}
