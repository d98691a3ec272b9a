/** Lists a folder with very many entries. */

import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import { milliseconds, type Work } from '../work.js'
import { fillFolder } from './fill-folder.js'

export function listing({ entries, rounds }: Scale): Work {
  return {
    name: 'listing',
    rounds,
    secondsMax: 30,
    prepare: ({ shared }) => fillFolder(shared, entries),
    steps: [
      {
        title: `ls -l of ${entries} entries, cold`,
        unit: 'ms',
        cold: true,
        run: async ({ shared }) => milliseconds(await time('ls', '-l', shared)),
      },
      {
        title: 'the same again',
        unit: 'ms',
        run: async ({ shared }) => milliseconds(await time('ls', '-l', shared)),
      },
      {
        title: 'find -type f in it, cold',
        unit: 'ms',
        cold: true,
        run: async ({ shared }) => milliseconds(await time('find', shared, '-type', 'f')),
      },
    ],
  }
}
