/** Measures the repair of a server that was down: by `dfc heal`, and by the mount. */
import { join } from 'node:path'
import { untilAgreed } from '../agreement.js'
import type { Cluster } from '../cluster.js'
import { heal } from '../dfc.js'
import { work } from '../order.js'
import { timeShell } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Site, Work } from '../work.js'
import { clusterOf } from './cluster-of.js'

const victim = 1
const missedBytes = 4096
const createSecondsMax = 30

export function repair({ missedFiles, bigMiB }: Scale): Work {
  return {
    name: 'repair',
    rounds: 1,
    secondsMax: 60,
    oursOnly: true,
    steps: [
      {
        title: `dfc heal of a server that missed ${missedFiles} files of 4 KiB`,
        unit: 's',
        run: (site) => repaired(site, () => makeFiles(site, missedFiles, 'healed'), heal),
      },
      {
        title: `dfc heal of a server that missed ${bigMiB} MiB`,
        unit: 's',
        run: (site) => repaired(site, () => copyBig(site), heal),
      },
      {
        title: 'dfc heal of a server with a new disk, of all that',
        unit: 's',
        run: (site) => repaired(site, () => clusterOf(site).wipeServer(victim), heal),
      },
      {
        title: `by the mount itself: ${missedFiles} files of 4 KiB`,
        unit: 's',
        run: (site) =>
          repaired(
            site,
            () => makeFiles(site, missedFiles, 'by-itself'),
            ({ clientConfig }) => untilAgreed(clientConfig),
          ),
      },
    ],
  }
}

/** Returns the seconds from the return of a server that was down during `missed` until all four agree. */
async function repaired(
  site: Site,
  missed: () => Promise<unknown>,
  wait: (cluster: Cluster) => Promise<void>,
): Promise<number> {
  const cluster = clusterOf(site)
  await cluster.signalServer(victim, 'SIGKILL')
  await missed()
  await cluster.startServer(victim)
  const startMs = performance.now()
  await wait(cluster)
  return (performance.now() - startMs) / 1000
}

async function makeFiles({ folder }: Site, count: number, prefix: string): Promise<void> {
  const files = { path: folder, count, bytes: missedBytes, prefix }
  await work({ ...files, task: 'create', secondsMax: createSecondsMax })
}

async function copyBig({ sources, folder }: Site): Promise<void> {
  await timeShell('cat <"$1" >"$2"', sources.bigFile, join(folder, 'file'))
}
