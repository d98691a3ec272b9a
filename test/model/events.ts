/** Virtual time: events run one by one in the order of their times and, at the same time, of their making. */
interface Event {
  readonly time: number
  readonly order: number
  readonly action: () => void
}

export class EventQueue {
  /** A binary heap: no event is before the one at half its index. */
  readonly #heap: Event[] = []
  #now = 0
  #order = 0

  get now(): number {
    return this.#now
  }

  /** When the next event is due; nothing if there is none. */
  get nextTime(): number | undefined {
    return this.#heap[0]?.time
  }

  at(time: number, action: () => void): void {
    this.#push({ time, order: this.#order, action })
    this.#order += 1
  }

  after(delay: number, action: () => void): void {
    this.at(this.#now + delay, action)
  }

  /** Runs the next event; false if there is none. */
  runNext(): boolean {
    const event = this.#pop()
    if (event === undefined) return false
    this.#now = event.time
    event.action()
    return true
  }

  /** Lets time pass in which nothing happens. */
  waitUntil(time: number): void {
    this.#now = Math.max(this.#now, time)
  }

  #push(event: Event): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = heap[parentIndex]
      if (parent === undefined || isBefore(parent, event)) break
      heap[index] = parent
      index = parentIndex
    }
    heap[index] = event
  }

  #pop(): Event | undefined {
    const top = this.#heap[0]
    const last = this.#heap.pop()
    if (last !== undefined && this.#heap.length > 0) this.#sink(last)
    return top
  }

  /** Puts an event where the topmost was, and down to its place. */
  #sink(event: Event): void {
    const heap = this.#heap
    let index = 0
    for (;;) {
      const childIndex = this.#earlierChild(index)
      const child = heap[childIndex]
      if (child === undefined || isBefore(event, child)) break
      heap[index] = child
      index = childIndex
    }
    heap[index] = event
  }

  #earlierChild(index: number): number {
    const leftIndex = 2 * index + 1
    const left = this.#heap[leftIndex]
    const right = this.#heap[leftIndex + 1]
    return left && right && isBefore(right, left) ? leftIndex + 1 : leftIndex
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.time < other.time || (one.time === other.time && one.order < other.order)
}
