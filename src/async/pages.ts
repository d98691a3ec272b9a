/** A list that is asked for page by page, each beginning after the last entry of the page before. */

/**
 * Yields the pages of a long list, the first after `from`, until one says that there is no more. `ask` gets the
 * page after a place, `lastOf` says where a page ends: undefined if it is empty. A page is asked for when the
 * page before has been dealt with, and none once the caller leaves the loop.
 */
export async function* pages<Place, Page extends { readonly more: boolean }>(
  from: Place,
  ask: (after: Place) => Promise<Page>,
  lastOf: (page: Page) => Place | undefined,
): AsyncGenerator<Page, void, void> {
  for (let after = from, more = true; more; ) {
    const page = await ask(after)
    yield page
    after = lastOf(page) ?? after
    more = page.more
  }
}
