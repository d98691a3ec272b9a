/** Removes for good what the trash keeps. */
import { isError } from '../../../errors.js'
import { trashIno } from '../../../wire/records.js'
import type { Planned } from '../changes.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

/** Plans the removal of these names of the trash, as far as they are there. Its result is how many were. */
export async function planExpunging(
  { names, cache }: Sources,
  kept: readonly string[],
  fresh: boolean,
): Promise<Planned<number>> {
  const change = new TransactionBuilder(cache)
  let count = 0
  for (const name of kept) {
    const entry = await names.entryForChange(trashIno, name, fresh)
    if (entry.ino === null) continue
    const node = await names.nodeForChange(entry.ino, fresh).catch((error: unknown) => {
      if (!isError(error, 'stale')) throw error
    })
    count += 1
    change.requireEntry(trashIno, name, entry)
    change.writeEntry(trashIno, name, null)
    if (node === undefined) continue
    change.requireNode(node)
    change.deleteNode(node.ino, node.inode)
  }
  return count === 0 ? { body: undefined, result: 0 } : change.plan({}, () => count)
}
