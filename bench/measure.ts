/**
 * Measures one work in all places, in turn at every step of every round, so that all of them meet the same noise of
 * the machine. The order of the places is reversed with each round: the first one meets what the step before has left
 * to the disk.
 */
import { join } from 'node:path'
import type { Place } from './place.js'
import { isInstalled, run, time } from './programs.js'
import type { Scale } from './scale.js'
import type { Sources } from './sources.js'
import type { Site, Step, Unit, Work } from './work.js'

/** The measurements in one place: values in the unit of the row, one for each round. */
export interface Column {
  readonly values: readonly number[]
  /** Error because of which there is no value, or no further one. */
  readonly failure: string | undefined
}

export interface Row {
  readonly work: string
  readonly title: string
  readonly unit: Unit
  /** Program that the step needs and that is not installed. */
  readonly missing: string | undefined
  /** One column for each place, in the order of the places. */
  readonly columns: readonly Column[]
}

export interface MeasureOptions {
  readonly places: readonly Place[]
  readonly sources: Sources
  readonly scale: Scale
}

/** The measurements of a work that is running, in one place. */
interface Progress {
  readonly place: Place
  readonly values: Map<Step, number[]>
  readonly failures: Map<Step, string>
}

const removalDeadlineMs = 120_000

export async function measure(work: Work, options: MeasureOptions): Promise<Row[]> {
  const places = options.places.filter(({ cluster }) => cluster !== undefined || !work.oursOnly)
  for (const place of places) if ((await work.isPossible?.(place)) === false) return []
  const all = places.map((place): Progress => ({ place, values: new Map(), failures: new Map() }))
  const startMs = performance.now()
  for (const progress of all) await prepare(work, progress, options)
  for (let round = 0; round < work.rounds; round += 1) {
    await measureRound(work, all, round, options)
    const roundMs = (performance.now() - startMs) / (round + 1)
    // An even number of rounds is done, so that no place is the first more often than another one.
    if (round % 2 === 1 && roundMs * (round + 3) > work.secondsMax * 1000) break
  }
  for (const { place } of all) await remove(join(place.folder, work.name))
  return work.steps.map((step) => ({
    work: work.name,
    title: step.title,
    unit: step.unit,
    missing: missingFor(step),
    columns: all.map(({ values, failures }) => ({
      values: values.get(step) ?? [],
      failure: failures.get(step),
    })),
  }))
}

async function prepare(work: Work, progress: Progress, options: MeasureOptions): Promise<void> {
  const site = siteOf(work, progress.place, 0, options)
  await time('mkdir', '-p', site.shared)
  try {
    await work.prepare?.(site)
  } catch (error) {
    for (const step of work.steps) progress.failures.set(step, messageOf(error))
  }
}

/** Measures one round. After a step that fails, the later ones are left out: they need its results. */
async function measureRound(
  work: Work,
  all: readonly Progress[],
  round: number,
  options: MeasureOptions,
): Promise<void> {
  const sites = all.map(({ place }) => siteOf(work, place, round, options))
  for (const { folder } of sites) await time('mkdir', folder)
  const given = new Set(all.filter(({ failures }) => failures.size > 0))
  const order = round % 2 === 0 ? [...all.keys()] : [...all.keys()].reverse()
  for (const step of work.steps) {
    if (missingFor(step) !== undefined) continue
    for (const index of order) {
      const [progress, site] = [all[index], sites[index]]
      if (progress === undefined || site === undefined || given.has(progress)) continue
      try {
        if (step.cold) await site.place.makeCold()
        const values = progress.values.get(step) ?? []
        progress.values.set(step, [...values, await step.run(site)])
      } catch (error) {
        progress.failures.set(step, messageOf(error))
        given.add(progress)
      }
    }
  }
  for (const { folder } of sites) await remove(folder)
}

function siteOf(work: Work, place: Place, round: number, options: MeasureOptions): Site {
  const own = join(place.folder, work.name)
  const folder = join(own, `round-${round}`)
  const { sources, scale } = options
  return { place, folder, shared: join(own, 'shared'), round, sources, scale }
}

/** Returns the program that a step needs if it is not installed. */
function missingFor({ needs }: Step): string | undefined {
  return needs === undefined || isInstalled(needs) ? undefined : needs
}

/** Removes a folder if possible. Everything is removed at the end of the run anyway. */
async function remove(folder: string): Promise<void> {
  await run('rm', ['-rf', folder], { deadlineMs: removalDeadlineMs }).catch(() => undefined)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
