/** Measures the memory that our mount takes when programs go through thousands of files. */
import { join } from 'node:path'
import { run } from '../programs.js'
import type { Scale } from '../scale.js'
import type { Site, Step, Work } from '../work.js'
import { clusterOf } from './cluster-of.js'

const deadlineMs = 600_000

const unpackedIn = ({ folder }: Site): string => join(folder, 'unpacked')
const copyIn = ({ folder }: Site): string => join(folder, 'copy')

export function treeMemory({ memoryFiles }: Scale): Work {
  /** Returns a step whose value is the most memory that the mount has taken until its end. */
  const step = (title: string, needs: string, act: (site: Site) => Promise<unknown>): Step => ({
    title: `most memory of the mount, ${title}`,
    unit: 'MiB',
    needs,
    run: async (site) => {
      await act(site)
      return (await clusterOf(site).memoryPeaks()).mount
    },
  })
  return {
    name: 'tree-memory',
    rounds: 1,
    secondsMax: 120,
    oursOnly: true,
    prepare: (site) => clusterOf(site).restart(),
    steps: [
      step(`${memoryFiles} files unpacked (tar x)`, 'tar', async (site) => {
        await run('mkdir', [unpackedIn(site)])
        const { archive } = site.sources.memoryTree
        await run('tar', ['-xf', archive, '-C', unpackedIn(site)], { deadlineMs })
      }),
      step('and compared (diff -r)', 'diff', (site) =>
        run('diff', ['-r', site.sources.memoryTree.folder, unpackedIn(site)], { deadlineMs }),
      ),
      step('and copied (cp -a)', 'cp', (site) =>
        run('cp', ['-a', unpackedIn(site), copyIn(site)], { deadlineMs }),
      ),
      step('and removed (rm -rf)', 'rm', (site) =>
        run('rm', ['-rf', unpackedIn(site), copyIn(site)], { deadlineMs }),
      ),
      {
        title: 'most memory of a server, all of that',
        unit: 'MiB',
        run: async (site) => Math.max(...(await clusterOf(site).memoryPeaks()).servers),
      },
    ],
  }
}
