/** Makes, reads and removes many small files. */
import { msEach } from '../order.js'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import { milliseconds, type Work } from '../work.js'

const fileBytes = 4096

export function small({ files, rounds }: Scale): Work {
  const each = { count: files, bytes: fileBytes }
  return {
    name: 'small',
    rounds,
    secondsMax: 40,
    steps: [
      {
        title: `create ${files} files of 4 KiB`,
        unit: 'ms each',
        run: ({ folder }) => msEach({ ...each, task: 'create', path: folder }),
      },
      {
        title: `ls -l of ${files} files, cold`,
        unit: 'ms',
        cold: true,
        run: async ({ folder }) => milliseconds(await time('ls', '-l', folder)),
      },
      {
        title: `read ${files} files of 4 KiB, cold`,
        unit: 'ms each',
        cold: true,
        run: ({ folder }) => msEach({ ...each, task: 'read', path: folder }),
      },
      {
        title: 'stat them, warm',
        unit: 'ms each',
        run: async ({ folder }) => {
          // Emptying the caches for one place may have emptied the kernel's cache of another one.
          await msEach({ ...each, task: 'stat', path: folder })
          return await msEach({ ...each, task: 'stat', path: folder })
        },
      },
      {
        title: 'rename them',
        unit: 'ms each',
        run: ({ folder }) => msEach({ ...each, task: 'rename', path: folder }),
      },
      // Repeats the step in a mount that has done it before: our mount is new above, their daemons never are.
      {
        title: `create ${files} more`,
        unit: 'ms each',
        run: ({ folder }) => msEach({ ...each, task: 'create', path: folder, prefix: 'g' }),
      },
      {
        title: 'rename these',
        unit: 'ms each',
        run: ({ folder }) => msEach({ ...each, task: 'rename', path: folder, prefix: 'g' }),
      },
      {
        title: 'unlink the first ones',
        unit: 'ms each',
        run: ({ folder }) => msEach({ ...each, task: 'unlink', path: folder }),
      },
      {
        title: 'unlink the others',
        unit: 'ms each',
        run: ({ folder }) => msEach({ ...each, task: 'unlink', path: folder, prefix: 'gr' }),
      },
    ],
  }
}
