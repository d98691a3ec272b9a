/** How much of an account is in the trash, as STATUS shows it. */
import type { TrashUse } from '../../dfc/namespace/trash.js'
import { durationText } from '../../duration.js'
import { debugDfc } from '../../log.js'
import type { Session } from '../session.js'
import { sizeText } from '../terminal/format.js'

/** Returns how much the trash has, and for how long; undefined where nothing is kept, or that cannot be known now. */
export async function trashUseOf({
  client,
}: Session): Promise<(TrashUse & { readonly keptMs: number }) | undefined> {
  const { trash } = client.namespace
  try {
    const use = await trash.use()
    const isEmpty = use.removed + use.replaced === 0
    return isEmpty && trash.keptMs === 0 ? undefined : { ...use, keptMs: trash.keptMs }
  } catch (error) {
    debugDfc('trash: %o', error)
    return undefined
  }
}

/** Formats it as one line. */
export function trashUseText({
  removed,
  replaced,
  bytes,
  oldestMs,
  more,
  keptMs,
}: TrashUse & { readonly keptMs: number }): string {
  const kept =
    keptMs === 0 ? 'off; what is there stays' : `removed files stay for ${durationText(keptMs)}`
  const since =
    oldestMs === undefined ? '' : `, the oldest since ${new Date(oldestMs).toISOString()}`
  const others = more === 0 ? '' : `, and ${more} more that were not looked at`
  return `Trash: ${removed} removed files and folders, ${replaced} versions, ${sizeText(bytes)}${since}${others} (${kept})`
}
