/** Measures the memory that our processes take. */
import { join } from 'node:path'
import { timeShell } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Work } from '../work.js'
import { clusterOf } from './cluster-of.js'

export function memory({ bigMiB }: Scale): Work {
  return {
    name: 'memory',
    rounds: 1,
    secondsMax: 20,
    oursOnly: true,
    prepare: (site) => clusterOf(site).restart(),
    steps: [
      {
        title: `most memory of the mount, ${bigMiB} MiB copied in`,
        unit: 'MiB',
        run: async (site) => {
          await timeShell('cat <"$1" >"$2"', site.sources.bigFile, join(site.folder, 'file'))
          return (await clusterOf(site).memoryPeaks()).mount
        },
      },
      {
        title: 'most memory of a server, the same',
        unit: 'MiB',
        run: async (site) => Math.max(...(await clusterOf(site).memoryPeaks()).servers),
      },
      {
        title: 'most memory of the mount, and read again (fresh mount)',
        unit: 'MiB',
        cold: true,
        run: async (site) => {
          await timeShell('cat "$1"', join(site.folder, 'file'))
          return (await clusterOf(site).memoryPeaks()).mount
        },
      },
      {
        title: 'most memory of a server, the same',
        unit: 'MiB',
        run: async (site) => Math.max(...(await clusterOf(site).memoryPeaks()).servers),
      },
    ],
  }
}
