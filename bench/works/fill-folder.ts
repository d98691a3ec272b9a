/** Makes very many empty files, by several workers at once, since the time is not measured. */
import { work } from '../order.js'

const workers = 4
const secondsMax = 600

export async function fillFolder(folder: string, entries: number): Promise<void> {
  const count = Math.ceil(entries / workers)
  const all = Array.from({ length: workers }, (_, index) =>
    work({ task: 'create', path: folder, count, prefix: `entry-${index}-`, secondsMax }),
  )
  for (const { done } of await Promise.all(all)) {
    if (done < count) throw new Error(`only ${done} of ${count} entries in ${secondsMax} s`)
  }
}
