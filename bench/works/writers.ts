/** Lets several programs write a file each at once. */
import { join } from 'node:path'
import { readOnce, timeShell } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Site, Work } from '../work.js'

const writers = 4

export function writersAtOnce({ writerMiB, rounds }: Scale): Work {
  const write = ({ sources, folder }: Site, index: number): Promise<number> => {
    const to = join(folder, `file-${index}`)
    return timeShell('head -c "$1" <"$2" >"$3"', `${writerMiB}M`, sources.file, to)
  }
  return {
    name: 'writers',
    rounds,
    secondsMax: 30,
    steps: [
      {
        title: `${writers} writers of ${writerMiB} MiB at once`,
        unit: 'MiB/s',
        run: async (site) => {
          await readOnce(site.sources.file)
          const all = Array.from({ length: writers }, (_, index) => write(site, index))
          return (writers * writerMiB) / Math.max(...(await Promise.all(all)))
        },
      },
    ],
  }
}
