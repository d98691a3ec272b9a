/** Measures what users notice of a server that is killed or frozen. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { heal } from '../dfc.js'
import { work } from '../order.js'
import { time } from '../programs.js'
import { median } from '../samples.js'
import type { Scale } from '../scale.js'
import type { Site, Work } from '../work.js'
import { clusterOf } from './cluster-of.js'

/** Index of the server that is killed: DFS2, though any other would do. */
const victim = 1
const lostAfterMs = 600
const filesDuring = 5_000
const secondsDuring = 6

export function outage({ copyMiB, rounds }: Scale): Work {
  return {
    name: 'outage',
    rounds,
    secondsMax: 30,
    oursOnly: true,
    prepare: (site) => time('cp', '--reflink=never', site.sources.file, join(site.shared, 'file')),
    steps: [
      {
        title: `time to read ${copyMiB} MiB with one server down / all up`,
        unit: 'times',
        run: async (site) => {
          const all = await readCold(site)
          await clusterOf(site).signalServer(victim, 'SIGKILL')
          const without = await readCold(site)
          await recover(site)
          return without / all
        },
      },
      {
        title: 'slowest create while a server is killed (kill -9)',
        unit: 'ms',
        run: async (site) => Math.max(...(await createDuring(site, 'SIGKILL'))),
      },
      {
        title: 'a create with one server down / all up',
        unit: 'times',
        run: async (site) => {
          const { eachMs: before } = await creates(site, 'before', 2)
          await clusterOf(site).signalServer(victim, 'SIGKILL')
          const { eachMs: after } = await creates(site, 'after', 2)
          await recover(site)
          return median(after) / median(before)
        },
      },
      {
        title: 'slowest create while a server is frozen (kill -STOP)',
        unit: 'ms',
        run: async (site) => Math.max(...(await createDuring(site, 'SIGSTOP'))),
      },
    ],
  }
}

async function readCold({ place, shared }: Site): Promise<number> {
  await place.makeCold()
  return time('cat', join(shared, 'file'))
}

/** Creates files in a loop, sends the signal in the middle of it, and returns the time of each create in ms. */
async function createDuring(site: Site, signal: 'SIGKILL' | 'SIGSTOP'): Promise<readonly number[]> {
  const creating = creates(site, signal, secondsDuring)
  await sleep(lostAfterMs)
  await clusterOf(site).signalServer(victim, signal)
  const { eachMs } = await creating
  if (signal === 'SIGSTOP') {
    await clusterOf(site).signalServer(victim, 'SIGCONT')
    await heal(clusterOf(site))
  } else await recover(site)
  return eachMs
}

function creates({ folder }: Site, prefix: string, secondsMax: number) {
  return work({ task: 'create', path: folder, count: filesDuring, bytes: 4096, prefix, secondsMax })
}

async function recover(site: Site): Promise<void> {
  await clusterOf(site).startServer(victim)
  await heal(clusterOf(site))
}
