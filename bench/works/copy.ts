/** Copies a big file in and out again. */
import { join } from 'node:path'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import { milliseconds, type Site, type Work } from '../work.js'

const fileIn = ({ folder }: Site): string => join(folder, 'file')

export function copy({ copyMiB, rounds }: Scale): Work {
  return {
    name: 'copy',
    rounds,
    secondsMax: 25,
    steps: [
      {
        title: `copy ${copyMiB} MiB in (cp, close included)`,
        unit: 'MiB/s',
        run: async (site) =>
          copyMiB / (await time('cp', '--reflink=never', site.sources.file, fileIn(site))),
      },
      {
        title: 'sync it',
        unit: 'ms',
        run: async (site) => milliseconds(await time('sync', fileIn(site))),
      },
      {
        title: `read ${copyMiB} MiB cold (cat)`,
        unit: 'MiB/s',
        cold: true,
        run: async (site) => copyMiB / (await time('cat', fileIn(site))),
      },
      {
        title: 'read it again',
        unit: 'MiB/s',
        run: async (site) => {
          // Emptying the caches for one place may have emptied the kernel's cache of another one. The measured read
          // comes after some others, because the first ones after that cost the kernel more.
          for (let count = 0; count < 3; count += 1) await time('cat', fileIn(site))
          return copyMiB / (await time('cat', fileIn(site)))
        },
      },
    ],
  }
}
