/**
 * The results of `action` for each of `items`, in their order, while up to `aheadMax` actions run ahead
 * of the consumer. Nothing is begun any more once the consumer stops or an action fails.
 */
export async function* inOrder<T, R>(
  items: Iterable<T>,
  aheadMax: number,
  action: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = []
  for (const item of items) {
    const result = action(item)
    // A failure is told when its turn comes: until then nobody waits for it.
    result.catch(() => {})
    running.push(result)
    const first = running.length < aheadMax ? undefined : running.shift()
    if (first !== undefined) yield await first
  }
  for (const result of running) yield await result
}
