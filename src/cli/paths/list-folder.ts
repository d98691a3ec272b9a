/** The names in a folder, page by page as the servers give them. */

import type { ListedName } from '../../dfc/namespace/cache/node.js'
import type { Session } from '../session.js'

/** Every name in the order of its bytes. Throws when the user interrupts. */
export async function* namesIn(session: Session, folder: number): AsyncGenerator<ListedName> {
  for await (const page of pagesOf(session, folder)) yield* page
}

/** The same, a page at a time. */
export async function* pagesOf(
  session: Session,
  folder: number,
): AsyncGenerator<readonly ListedName[]> {
  let after = ''
  for (;;) {
    session.interrupted.throwIfAborted()
    const { entries, more } = await session.client.namespace.list(folder, after)
    yield entries
    const last = entries.at(-1)
    if (!more || last === undefined) return
    after = last.name
  }
}
