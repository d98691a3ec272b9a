/**
 * Yields the results of `action` for each of `items`, in their order, while up to `aheadMax` actions run ahead of the
 * consumer. After the consumer stops or an action fails, no further action begins.
 */
export async function* inOrder<T, R>(
  items: Iterable<T>,
  aheadMax: number,
  action: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = []
  for (const item of items) {
    const result = action(item)
    // A failure is thrown when its turn comes; until then no one awaits it.
    result.catch(() => {})
    running.push(result)
    const first = running.length < aheadMax ? undefined : running.shift()
    if (first !== undefined) yield await first
  }
  for (const result of running) yield await result
}
