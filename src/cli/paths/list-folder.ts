/** Lists the names in a folder, page by page as the servers send them. */

import type { ListedName } from '../../dfc/namespace/cache/node.js'
import type { Session } from '../session.js'

/** Yields every name in the order of its bytes. Throws when the user interrupts. */
export async function* namesIn(session: Session, folder: number): AsyncGenerator<ListedName> {
  for await (const page of pagesOf(session, folder)) yield* page
}

/** Yields the names in the order of their bytes, a page at a time. Throws when the user interrupts. */
export async function* pagesOf(
  session: Session,
  folder: number,
): AsyncGenerator<readonly ListedName[]> {
  for await (const { entries } of session.client.namespace.names.pages(folder)) {
    session.interrupted.throwIfAborted()
    yield entries
  }
}
