/** Tables of metrics: each row has its values in one place of the figures of a program. */
import type { LatencyCounts } from './latencies.js'

export type Labels = Readonly<Record<string, string>>

type Value = number | LatencyCounts

/** A metric: what it is, and how it is found in the figures `F` of a program. */
export interface Metric<F> {
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** The values with their labels. A histogram has latencies as values. */
  readonly values: (figures: F) => readonly (readonly [Labels, Value])[]
}

/** Type, name and meaning of a metric, and its value in a place `P`; undefined for none. */
type Row<P> = readonly [
  type: Metric<never>['type'],
  name: string,
  help: string,
  value: (place: P) => Value | undefined,
]

/** Returns metrics that each have a value in every place that `placesOf` finds, under the labels that it gives. */
export function metricsIn<F, P>(
  labels: readonly string[],
  placesOf: (figures: F) => readonly (readonly [Labels, P])[],
  rows: readonly Row<P>[],
): readonly Metric<F>[] {
  return rows.map(([type, name, help, value]) => ({
    name,
    help,
    labels,
    type,
    values: (figures) =>
      placesOf(figures).flatMap(([place, of]) => {
        const found = value(of)
        return found === undefined ? [] : [[place, found] as const]
      }),
  }))
}

/** Returns metrics that have one value each, in the place that `placeOf` finds. */
export function singleMetrics<F, P>(
  placeOf: (figures: F) => P,
  rows: readonly Row<P>[],
): readonly Metric<F>[] {
  return metricsIn([], (figures) => [[{}, placeOf(figures)]], rows)
}
