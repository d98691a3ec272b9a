/** Measures the speed of a check of everything that is stored. */
import { join } from 'node:path'
import { dfc, hasOperation } from '../dfc.js'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Work } from '../work.js'
import { clusterOf } from './cluster-of.js'

export function verify({ copyMiB, rounds }: Scale): Work {
  return {
    name: 'verify',
    rounds,
    secondsMax: 10,
    oursOnly: true,
    isPossible: async ({ cluster }) => cluster !== undefined && hasOperation(cluster, 'verify'),
    prepare: (site) => time('cp', '--reflink=never', site.sources.file, join(site.shared, 'file')),
    steps: [
      {
        title: `dfc verify, for each of ${copyMiB} MiB`,
        unit: 'MiB/s',
        run: async (site) => copyMiB / (await dfc(clusterOf(site), 'verify')).seconds,
      },
    ],
  }
}
