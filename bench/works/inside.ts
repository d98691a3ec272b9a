/** Measures writes of a few bytes in a file. */
import { join } from 'node:path'
import { msEach } from '../order.js'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Site, Work } from '../work.js'

const MiB = 1024 * 1024
/** Number of repetitions after which the extents of the file have been merged at least once. */
const again = 10

const fileIn = ({ shared }: Site): string => join(shared, 'file')

export function inside({ copyMiB, operations, syncs, rounds }: Scale): Work {
  const anywhere = { count: operations, bytes: copyMiB * MiB }
  return {
    name: 'inside',
    rounds,
    secondsMax: 25,
    prepare: (site) => time('cp', '--reflink=never', site.sources.file, fileIn(site)),
    steps: [
      {
        title: `${operations} random overwrites of 4 KiB, then close`,
        unit: 'ms each',
        run: (site) => msEach({ ...anywhere, task: 'randomWrite', path: fileIn(site) }),
      },
      {
        title: `${again} times more, each with a close`,
        unit: 'ms each',
        run: async (site) => {
          let ms = 0
          for (let time = 0; time < again; time += 1) {
            ms += await msEach({ ...anywhere, task: 'randomWrite', path: fileIn(site) })
          }
          return ms / again
        },
      },
      {
        title: 'open, append a line, close',
        unit: 'ms each',
        run: ({ folder }) =>
          msEach({ task: 'append', path: join(folder, 'log'), count: operations }),
      },
      {
        title: 'append as often again',
        unit: 'ms each',
        run: ({ folder }) =>
          msEach({ task: 'append', path: join(folder, 'log'), count: operations }),
      },
      {
        title: 'write 4 KiB, fsync',
        unit: 'ms each',
        run: ({ folder }) =>
          msEach({ task: 'writeSync', path: join(folder, 'journal'), count: syncs }),
      },
    ],
  }
}
