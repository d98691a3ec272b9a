/**
 * Lines of a log that come again and again with one cause: a server that goes up and down once a second, a disk of
 * which every piece rots. A few are said as they come, the others are counted and said in one line, so that they
 * neither fill a disk nor hide what else happens.
 */
import { limits } from './limits.js'

interface Cause<Level> {
  readonly name: string
  readonly level: Level
  readonly countMax: number
  count: number
  lastMs: number
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

  /** Says the line, unless its cause was said often enough within the period. Without a name it is its own cause. */
  tell(text: string, level: Level, name?: string): void {
    const cause = this.#causes.get(name ?? text) ?? this.#first(text, level, name)
    cause.count += 1
    cause.lastMs = Date.now()
    if (cause.count < cause.countMax) this.#say(text, level)
    if (cause.count !== cause.countMax) return
    const minutes = Math.ceil(this.#periodMs / 60_000)
    this.#say(`${text} (further ones are counted for up to ${minutes} min)`, level)
  }

  #first(text: string, level: Level, name: string | undefined): Cause<Level> {
    const countMax = name === undefined ? limits.sameLineMax : limits.repeatedNoticesMax
    const cause: Cause<Level> = { name: name ?? text, level, countMax, count: 0, lastMs: 0 }
    // With too many of them nothing is counted: those are different lines, and each of them is news.
    if (this.#causes.size >= limits.repeatedObjectsMax) return cause
    this.#causes.set(cause.name, cause)
    setTimeout(() => this.#end(cause), this.#periodMs).unref()
    return cause
  }

  #end({ name, level, count, countMax, lastMs }: Cause<Level>): void {
    this.#causes.delete(name)
    const untold = count - countMax
    if (untold <= 0) return
    const last = new Date(lastMs).toISOString()
    this.#say(`${name} (${untold} more, the last at ${last})`, level)
  }
}
