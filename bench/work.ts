/**
 * A work is a group of measurements that build on each other: files are made, listed, read and
 * removed. Works are data: a new one is an entry in works/table.ts.
 */
import type { Place } from './place.js'
import type { Scale } from './scale.js'
import type { Sources } from './sources.js'

/** A place, and the folders in it that belong to a work and to one round of it. */
export interface Site {
  readonly place: Place
  readonly folder: string
  /** Folder of the work that stays from round to round. */
  readonly shared: string
  /** Number of the round, from 0. */
  readonly round: number
  readonly sources: Sources
  readonly scale: Scale
}

/** For each unit whether more of it is better, and the number of significant decimals. */
export const units = {
  ms: { more: false, decimals: 1 },
  'ms each': { more: false, decimals: 3 },
  s: { more: false, decimals: 2 },
  'MiB/s': { more: true, decimals: 0 },
  MiB: { more: false, decimals: 0 },
  times: { more: false, decimals: 2 },
} as const satisfies Readonly<Record<string, { readonly more: boolean; readonly decimals: number }>>

export type Unit = keyof typeof units

export interface Step {
  readonly title: string
  readonly unit: Unit
  /** Caches are emptied before the step. */
  readonly cold?: true
  /** Program that the step runs and that not every machine has: without it the row says so. */
  readonly needs?: string
  /** Returns one value in `unit`. */
  readonly run: (site: Site) => Promise<number>
}

export interface Work {
  readonly name: string
  /** An even number lets each place be the first as often as the last. */
  readonly rounds: number
  /** Time in seconds: no further round begins that would probably end later. */
  readonly secondsMax: number
  /** The work stops servers, or inspects our processes: there is nothing to compare with. */
  readonly oursOnly?: true
  /** Whether the work can be done in `place`; otherwise it is left out. */
  readonly isPossible?: (place: Place) => Promise<boolean>
  /** Runs once in each place, and is not measured. */
  readonly prepare?: (site: Site) => Promise<unknown>
  readonly steps: readonly Step[]
}

/** Names of the options that add works to a run. */
export type Extra = 'growth' | 'huge'

export interface WorkEntry {
  readonly make: (scale: Scale) => Work
  readonly extra?: Extra
}

export const milliseconds = (seconds: number): number => seconds * 1000
