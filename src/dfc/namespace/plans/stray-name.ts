/** Removes a name that leads nowhere, or to a folder that has its place elsewhere: what none of our changes leaves. */
import { DfsError, isError } from '../../../errors.js'
import { canBeIn } from '../cache/node.js'
import type { Plan } from '../changes.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

/** Removes the name alone. Throws `notFound` where there is none, and `exists` where it leads to what it should. */
export async function planStrayName(
  { names, cache }: Sources,
  { parent, name }: { readonly parent: number; readonly name: string },
): Promise<Plan<void>> {
  const entry = await names.existingForChange(parent, name, true)
  const node = await names.nodeForChange(entry.ino, true).catch((error: unknown) => {
    if (!isError(error, 'stale')) throw error
  })
  if (node !== undefined && canBeIn(node, parent)) throw new DfsError('exists')
  const change = new TransactionBuilder(cache)
  change.requireEntry(parent, name, entry)
  // A number that is gone is none of another inode ever.
  if (node !== undefined) change.requireNode(node)
  change.writeEntry(parent, name, null)
  return change.plan({}, () => undefined)
}
