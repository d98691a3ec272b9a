/** Changes small files that exist, in the ways in which programs do. */
import { join } from 'node:path'
import { msEach, work } from '../order.js'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import { milliseconds, type Work } from '../work.js'

const fileBytes = 4096

export function edits({ touched, saved, rounds }: Scale): Work {
  const some = { count: saved, bytes: fileBytes }
  return {
    name: 'edits',
    rounds,
    secondsMax: 30,
    prepare: ({ shared }) =>
      work({ task: 'create', path: shared, count: Math.max(touched, saved), bytes: fileBytes }),
    steps: [
      {
        title: `touch ${touched} files`,
        unit: 'ms',
        needs: 'touch',
        run: async ({ shared }) => {
          const names = Array.from({ length: touched }, (_, index) =>
            join(shared, `f${String(index).padStart(6, '0')}`),
          )
          return milliseconds(await time('touch', ...names))
        },
      },
      {
        title: `overwrite ${saved} files of 4 KiB`,
        unit: 'ms each',
        run: ({ shared }) => msEach({ ...some, task: 'overwrite', path: shared }),
      },
      {
        title: `save ${saved} by rename`,
        unit: 'ms each',
        run: ({ shared }) => msEach({ ...some, task: 'save', path: shared }),
      },
    ],
  }
}
