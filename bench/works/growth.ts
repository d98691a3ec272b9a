/** Measures whether operations stay as fast with very many files, and with several writers. */
import { join } from 'node:path'
import { msEach, work } from '../order.js'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import { milliseconds, type Site, type Work } from '../work.js'
import { fillFolder } from './fill-folder.js'

const sizes = [1_000, 10_000, 100_000]
const largest = Math.max(...sizes)
const writers = 4

const folderOf = ({ shared }: Site, size: number): string => join(shared, String(size))

export function growth({ files, rounds }: Scale): Work {
  const each = { task: 'create', count: files, bytes: 4096 } as const
  const together =
    (prefix: string) =>
    async ({ folder }: Site): Promise<number> => {
      const all = Array.from({ length: writers }, (_, index) =>
        work({ ...each, path: folder, prefix: `${prefix}-${index}-` }),
      )
      const outcomes = await Promise.all(all)
      const done = outcomes.reduce((sum, outcome) => sum + outcome.done, 0)
      return milliseconds(Math.max(...outcomes.map(({ seconds }) => seconds))) / done
    }
  return {
    name: 'growth',
    rounds,
    secondsMax: 120,
    prepare: async (site) => {
      for (const size of sizes) {
        await time('mkdir', folderOf(site, size))
        await fillFolder(folderOf(site, size), size)
      }
    },
    steps: [
      {
        title: `create ${files} files of 4 KiB in an empty folder`,
        unit: 'ms each',
        run: ({ folder }) => msEach({ ...each, path: folder }),
      },
      {
        title: `create ${files} files in a folder of ${largest}`,
        unit: 'ms each',
        run: async (site) => {
          const path = folderOf(site, largest)
          const ms = await msEach({ ...each, path })
          await msEach({ ...each, task: 'unlink', path, prefix: 'f' })
          return ms
        },
      },
      {
        title: `create ${files} files by each of ${writers} at once, per file`,
        unit: 'ms each',
        run: together('early'),
      },
      {
        title: 'by one again',
        unit: 'ms each',
        run: ({ folder }) => msEach({ ...each, path: folder, prefix: 'again-' }),
      },
      ...sizes.map((size) => ({
        title: `ls -l of ${size} entries, cold, per entry`,
        unit: 'ms each' as const,
        cold: true as const,
        run: async (site: Site) =>
          milliseconds(await time('ls', '-l', folderOf(site, size))) / size,
      })),
      {
        title: `create ${files} by each of ${writers} in a mount that begins to repair, per file`,
        unit: 'ms each',
        run: together('late'),
      },
    ],
  }
}
