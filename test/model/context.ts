/** The state that all parts of one schedule share. */
import { Seeded } from '../fixtures/seeded.js'
import { EventQueue } from './events.js'
import { History } from './history.js'
import type { Options } from './options.js'
import type { Rules } from './rules.js'

/** Choices by a seed: the same seed draws the same schedule. */
export class Chance {
  readonly #seeded: Seeded

  constructor(seed: number) {
    this.#seeded = new Seeded(seed)
  }

  /** A number from 0 up to 1, which is not drawn. */
  fraction(): number {
    return this.#seeded.below(0x1_0000_0000) / 0x1_0000_0000
  }

  /** A whole number in 0 .. limit - 1. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit)
  }

  happens(probability: number): boolean {
    return this.fraction() < probability
  }
}

/** How often each thing happened: a schedule in which nothing happens shows nothing. */
export function noCounts() {
  return {
    transactions: 0,
    acknowledged: 0,
    failed: 0,
    unknown: 0,
    reads: 0,
    messages: 0,
    lost: 0,
    late: 0,
    serverCrashes: 0,
    clientCrashes: 0,
    wipes: 0,
    pauses: 0,
    cuts: 0,
    recoveries: 0,
    fills: 0,
    sweeps: 0,
    rotted: 0,
    restored: 0,
    forgottenAborts: 0,
  }
}

export type Counts = ReturnType<typeof noCounts>

export class Context {
  readonly rules: Rules
  readonly options: Options
  readonly chance: Chance
  readonly events = new EventQueue()
  readonly counts = noCounts()
  readonly history: History
  /** The server that lies: what it does itself is no violation. */
  liar: number | undefined
  /** True in the last phase of a schedule, in which nothing fails and nothing is lost. */
  isQuiet = false
  /** Notes a line of the trace; nothing, and its argument is not even built, where none is wanted. */
  readonly trace: ((text: string) => void) | undefined
  readonly traced: string[] = []
  #incarnation = 0
  #value = 0

  constructor(seed: number, rules: Rules, options: Options) {
    this.rules = rules
    this.options = options
    this.chance = new Chance(seed)
    if (options.trace) this.trace = (text) => this.traced.push(`${this.events.now} ${text}`)
    this.history = new History(this.events, this.trace)
  }

  /** Whether versions from the future are refused and not followed: only where a clock or a server is wrong. */
  get isTimeBounded(): boolean {
    return this.options.clocks > 0 || this.options.lies > 0
  }

  /** A vote that was a lie may be one of three: then what was acknowledged a moment ago can be undone. */
  get areVotesLies(): boolean {
    return this.options.lies > 1
  }

  /** A number that no other incarnation of a server has. */
  nextIncarnation(): number {
    this.#incarnation += 1
    return this.#incarnation
  }

  /** A number for a value that was never written before. */
  nextValue(): number {
    this.#value += 1
    return this.#value
  }
}
