/** Compares several big writers and readers at once with a single one. */
import { join } from 'node:path'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Site, Work } from '../work.js'

const writers = 4

const fileIn = ({ folder }: Site, index: number): string => join(folder, `file-${index}`)

export function parallel({ copyMiB, rounds }: Scale): Work {
  const copies = (site: Site, count: number) =>
    rateOf(count, (index) => time('cp', '--reflink=never', site.sources.file, fileIn(site, index)))
  const reads = (site: Site, count: number) =>
    rateOf(count, (index) => time('cat', fileIn(site, index)))

  /** Returns the total rate of all workers in MiB/s. */
  const rateOf = async (
    count: number,
    act: (index: number) => Promise<number>,
  ): Promise<number> => {
    const seconds = await Promise.all(Array.from({ length: count }, (_, index) => act(index)))
    return (count * copyMiB) / Math.max(...seconds)
  }

  return {
    name: 'parallel',
    rounds,
    secondsMax: 60,
    steps: [
      { title: `one copies ${copyMiB} MiB in`, unit: 'MiB/s', run: (site) => copies(site, 1) },
      { title: `${writers} at once`, unit: 'MiB/s', run: (site) => copies(site, writers) },
      { title: 'one reads it, cold', unit: 'MiB/s', cold: true, run: (site) => reads(site, 1) },
      {
        title: `${writers} at once`,
        unit: 'MiB/s',
        cold: true,
        run: (site) => reads(site, writers),
      },
    ],
  }
}
