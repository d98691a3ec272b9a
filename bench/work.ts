/**
 * A work is a group of measurements that build on each other: files are made, listed, read and
 * removed. Works are data: a new one is an entry in works/table.ts.
 */
import type { Place } from './place.js'
import type { Scale } from './scale.js'
import type { Sources } from './sources.js'

/** A place, and the folder in it that belongs to this round of this work. */
export interface Site {
  readonly place: Place
  readonly folder: string
  /** Belongs to the work and stays from round to round. */
  readonly shared: string
  readonly sources: Sources
  readonly scale: Scale
}

/** Whether more or less of it is better, and how many decimals tell something. */
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
  /** Everything is made cold before. */
  readonly cold?: true
  /** Returns one value in `unit`. */
  readonly run: (site: Site) => Promise<number>
}

export interface Work {
  readonly name: string
  readonly rounds: number
  /** No further round begins when the next would not end within so long, in seconds. */
  readonly secondsMax: number
  /** It stops servers, or looks into our processes: there is nothing to compare with. */
  readonly oursOnly?: true
  /** Whether it can be done at all with what there is; else it is left out. */
  readonly isPossible?: (place: Place) => Promise<boolean>
  /** Once in each place; not measured. */
  readonly prepare?: (site: Site) => Promise<unknown>
  readonly steps: readonly Step[]
}

/** Works that are not done unless asked for by this name. */
export type Extra = 'growth' | 'huge'

export interface WorkEntry {
  readonly make: (scale: Scale) => Work
  readonly extra?: Extra
}

export const milliseconds = (seconds: number): number => seconds * 1000
