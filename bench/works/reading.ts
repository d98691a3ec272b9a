/** Reads a big file for the first time: here and there, and from its beginning to its end. */
import { join } from 'node:path'
import { msEach } from '../order.js'
import { readOnce, time } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Site, Work } from '../work.js'

const MiB = 1024 * 1024

const fileIn = ({ shared }: Site): string => join(shared, 'file')

export function reading({ copyMiB, randomReads, rounds }: Scale): Work {
  return {
    name: 'reading',
    rounds,
    secondsMax: 60,
    prepare: (site) => time('cp', '--reflink=never', site.sources.file, fileIn(site)),
    steps: [
      {
        title: `${randomReads} random reads of 4 KiB, each new, in ${copyMiB} MiB, cold`,
        unit: 'ms each',
        cold: true,
        run: (site) =>
          msEach({
            task: 'randomRead',
            path: fileIn(site),
            count: randomReads,
            bytes: copyMiB * MiB,
            from: site.round * randomReads,
          }),
      },
      {
        title: `cmp of ${copyMiB} MiB with a local file, cold`,
        unit: 'MiB/s',
        cold: true,
        needs: 'cmp',
        run: async (site) => {
          await readOnce(site.sources.file)
          return copyMiB / (await time('cmp', site.sources.file, fileIn(site)))
        },
      },
    ],
  }
}
