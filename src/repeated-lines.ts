/**
 * Lines of a log that come again and again with one cause: a server that goes up and down once a second, a disk of
 * which every piece rots, a client that has the wrong password for days. A few are said as they come, the others are
 * counted and said in one line, so that they neither fill a disk nor hide what else happens.
 *
 *     minute 0   said, said, said (further ones are counted)
 *     minute 10  how many more came; then after 20 minutes, 40 minutes, ... at last once a day, while they come
 *     10 minutes without one: it is over, and the next one is said again
 */
import { limits } from './limits.js'

interface Cause<Level> {
  readonly name: string
  readonly level: Level
  /** How many lines are said as they come. */
  left: number
  /** Lines that were not said yet. */
  untold: number
  lastMs: number
  /** Until how many are told, and for how long they are counted then. */
  dueMs: number
  waitMs: number
}

export class RepeatedLines<Level> {
  readonly #say: (line: string, level: Level) => void
  readonly #causes = new Map<string, Cause<Level>>()
  readonly #periodMs: number

  /** `say` writes one line into the log. */
  constructor(say: (line: string, level: Level) => void, periodMs: number = limits.sameLineMs) {
    this.#say = say
    this.#periodMs = periodMs
  }

  /** Says the line, unless its cause was said often enough lately. Without a name it is its own cause. */
  tell(text: string, level: Level, name?: string): void {
    const cause = this.#known(name ?? text) ?? this.#first(text, level, name)
    cause.lastMs = performance.now()
    if (cause.left === 0) {
      cause.untold += 1
      return
    }
    cause.left -= 1
    const minutes = Math.ceil(this.#periodMs / 60_000)
    const end = cause.left === 0 ? ` (further ones are counted for at least ${minutes} min)` : ''
    this.#say(`${text}${end}`, level)
  }

  /** Returns the cause of that name, if it is not over. */
  #known(name: string): Cause<Level> | undefined {
    const cause = this.#causes.get(name)
    if (cause === undefined || !this.#isOver(cause)) return cause
    this.#end(cause)
    return undefined
  }

  #first(text: string, level: Level, name: string | undefined): Cause<Level> {
    const nowMs = performance.now()
    const cause: Cause<Level> = {
      name: name ?? text,
      level,
      left: name === undefined ? limits.sameLineMax : limits.sameKindMax,
      untold: 0,
      lastMs: nowMs,
      dueMs: nowMs + this.#periodMs,
      waitMs: this.#periodMs,
    }
    // With too many of them nothing is counted: those are different lines, and each of them is news.
    if (this.#causes.size >= limits.repeatedObjectsMax) return cause
    this.#causes.set(cause.name, cause)
    this.#lookLater(cause)
    return cause
  }

  #isOver({ lastMs }: Cause<Level>): boolean {
    return performance.now() - lastMs >= this.#periodMs
  }

  #lookLater(cause: Cause<Level>): void {
    setTimeout(() => this.#look(cause), this.#periodMs).unref()
  }

  #look(cause: Cause<Level>): void {
    if (this.#causes.get(cause.name) !== cause) return
    if (this.#isOver(cause)) {
      this.#end(cause)
      return
    }
    this.#lookLater(cause)
    if (performance.now() < cause.dueMs) return
    this.#sum(cause)
    cause.waitMs = Math.min(2 * cause.waitMs, limits.sameLineMsMax)
    cause.dueMs = performance.now() + cause.waitMs
  }

  #end(cause: Cause<Level>): void {
    this.#causes.delete(cause.name)
    this.#sum(cause)
  }

  /** Says how many lines were not said. */
  #sum(cause: Cause<Level>): void {
    const { name, level, untold, lastMs } = cause
    if (untold === 0) return
    const last = new Date(Date.now() - (performance.now() - lastMs)).toISOString()
    this.#say(`${name} (${untold} more, the last at ${last})`, level)
    cause.untold = 0
  }
}
