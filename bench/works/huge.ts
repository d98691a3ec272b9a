/** Measures whether a very long copy stays as fast as it began. */
import { join } from 'node:path'
import { run } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Site, Work } from '../work.js'

const deadlineMs = 600_000

export function huge({ bigMiB }: Scale): Work {
  const rate = async ({ sources, folder }: Site, times: number): Promise<number> => {
    const line = `for n in $(seq ${times}); do cat "$1"; done >"$2"`
    const args = ['-c', line, 'sh', sources.bigFile, join(folder, `times-${times}`)]
    return (bigMiB * times) / (await run('sh', args, { deadlineMs })).seconds
  }
  return {
    name: 'huge',
    rounds: 1,
    secondsMax: 600,
    steps: [1, 10].map((times) => ({
      title: `copy ${bigMiB * times} MiB in`,
      unit: 'MiB/s',
      run: (site) => rate(site, times),
    })),
  }
}
