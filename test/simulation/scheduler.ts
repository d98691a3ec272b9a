/**
 * Virtual time: a queue of events, run one by one in the order of their times and, at the same time,
 * of their making. Between two events everything that is ready to go on does so, so that a run
 * depends on nothing but the events.
 */
interface Event {
  readonly atMs: number
  readonly order: number
  readonly action: () => void
}

/** Now and then the real event loop gets a turn, so that signals and memory are looked after. */
const eventsPerTurn = 2000

export class Scheduler {
  readonly #heap: Event[] = []
  #nowMs = 0
  #order = 0

  /** Milliseconds since the simulation began. */
  get nowMs(): number {
    return this.#nowMs
  }

  get eventCount(): number {
    return this.#order
  }

  after(delayMs: number, action: () => void): void {
    this.at(this.#nowMs + delayMs, action)
  }

  at(atMs: number, action: () => void): void {
    this.#order += 1
    this.#push({ atMs: Math.max(atMs, this.#nowMs), order: this.#order, action })
  }

  /** Runs events until `isOver` or none is left. Rejects with what an event throws. */
  run(isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let events = 0
      // A tick runs when every continuation is done: those that an event made ready, and theirs.
      const afterwards = (): void => {
        events += 1
        if (events % eventsPerTurn === 0) setImmediate(step)
        else process.nextTick(step)
      }
      const step = (): void => {
        const event = isOver() ? undefined : this.#pop()
        if (event === undefined) {
          setImmediate(resolve)
          return
        }
        this.#nowMs = event.atMs
        try {
          event.action()
        } catch (thrown) {
          reject(thrown)
          return
        }
        queueMicrotask(afterwards)
      }
      process.nextTick(step)
    })
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parentAt = (at - 1) >> 1
      const parent = heap[parentAt]
      if (parent === undefined || isBefore(parent, event)) break
      heap[at] = parent
      at = parentAt
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let childAt = 2 * at + 1
      let child = heap[childAt]
      if (child === undefined) break
      const other = heap[childAt + 1]
      if (other !== undefined && isBefore(other, child)) {
        childAt += 1
        child = other
      }
      if (isBefore(last, child)) break
      heap[at] = child
      at = childAt
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
