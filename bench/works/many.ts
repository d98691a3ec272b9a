/** Measures whether operations on a few files stay as fast in a namespace of very many files. */
import { join } from 'node:path'
import { msEach, work } from '../order.js'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Site, Step, Work } from '../work.js'
import { clusterOf } from './cluster-of.js'

const writers = 4
const secondsMax = 3600
const few = 1_000

const treeIn = ({ folder }: Site, name: string): string => join(folder, name)

async function fillTree(path: string, files: number): Promise<void> {
  await time('mkdir', path)
  const count = Math.ceil(files / writers)
  const all = Array.from({ length: writers }, (_, index) =>
    work({ task: 'createTree', path, count, prefix: `${index}-`, secondsMax }),
  )
  for (const { done } of await Promise.all(all)) {
    if (done < count) throw new Error(`only ${done} of ${count} files in ${secondsMax} s`)
  }
}

export function many({ manyFiles, files }: Scale): Work {
  const lookUps = (site: Site, name: string, of: number): Promise<number> =>
    msEach({
      task: 'statTree',
      path: treeIn(site, name),
      count: files,
      of: Math.ceil(of / writers),
      prefix: '0-',
    })
  /** Looks names up in a new mount with empty caches, on servers that have just answered for them. */
  const again = async (site: Site, name: string, of: number): Promise<number> => {
    const cluster = clusterOf(site)
    await cluster.unmount()
    await cluster.mount()
    return lookUps(site, name, of)
  }
  const making = (name: string, count: number): Step => ({
    title: `make ${count} files in folders of 1000`,
    unit: 's',
    run: async (site) => {
      const startMs = performance.now()
      await fillTree(treeIn(site, name), count)
      return (performance.now() - startMs) / 1000
    },
  })
  return {
    name: 'many',
    rounds: 1,
    secondsMax,
    oursOnly: true,
    steps: [
      making('few', few),
      {
        title: `look up ${files} of them, cold`,
        unit: 'ms each',
        cold: true,
        run: (site) => lookUps(site, 'few', few),
      },
      making('many', manyFiles),
      {
        title: 'most memory of the mount so far',
        unit: 'MiB',
        run: async (site) => (await clusterOf(site).memoryPeaks()).mount,
      },
      {
        title: 'most memory of a server so far',
        unit: 'MiB',
        run: async (site) => Math.max(...(await clusterOf(site).memoryPeaks()).servers),
      },
      {
        title: `look up ${files} of ${few}, cold`,
        unit: 'ms each',
        cold: true,
        run: (site) => lookUps(site, 'few', few),
      },
      {
        title: `look up ${files} in one folder of ${manyFiles} files, cold`,
        unit: 'ms each',
        cold: true,
        run: (site) => lookUps(site, 'many', few),
      },
      {
        title: `look up ${files} anywhere in ${manyFiles}, cold`,
        unit: 'ms each',
        cold: true,
        run: (site) => lookUps(site, 'many', manyFiles),
      },
      {
        title: 'the same by a fresh mount, what the servers have read of their disks in memory',
        unit: 'ms each',
        run: (site) => again(site, 'many', manyFiles),
      },
      {
        title: `the same of ${few}`,
        unit: 'ms each',
        run: async (site) => {
          await lookUps(site, 'few', few)
          return again(site, 'few', few)
        },
      },
    ],
  }
}
