/** Runs the programs that users commonly run on a tree of files. */
import { join } from 'node:path'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import { milliseconds, type Work } from '../work.js'

export function programs({ rounds }: Scale): Work {
  return {
    name: 'programs',
    rounds,
    secondsMax: 25,
    steps: [
      {
        title: 'cp -r of a tree of 97 files of 29 KiB',
        unit: 'ms',
        run: async ({ folder, sources }) =>
          milliseconds(await time('cp', '-r', sources.tree.folder, join(folder, 'copied'))),
      },
      {
        title: 'git clone of a repository of 98 files',
        unit: 'ms',
        needs: 'git',
        run: async ({ folder, sources }) => {
          const to = join(folder, 'cloned')
          const args = ['clone', '--quiet', '--no-hardlinks', sources.repository, to]
          return milliseconds(await time('git', ...args))
        },
      },
      {
        title: 'git status in it',
        unit: 'ms',
        needs: 'git',
        run: async ({ folder }) =>
          milliseconds(await time('git', '-C', join(folder, 'cloned'), 'status', '--short')),
      },
      {
        title: 'rsync -a of the tree',
        unit: 'ms',
        needs: 'rsync',
        run: async ({ folder, sources }) =>
          milliseconds(
            await time('rsync', '-a', `${sources.tree.folder}/`, join(folder, 'synced')),
          ),
      },
      {
        title: 'tar x of the tree',
        unit: 'ms',
        needs: 'tar',
        run: async ({ folder, sources }) => {
          const to = join(folder, 'unpacked')
          await time('mkdir', to)
          return milliseconds(await time('tar', '-xf', sources.tree.archive, '-C', to))
        },
      },
      {
        title: 'read the tree, cold (grep -r)',
        unit: 'ms',
        cold: true,
        run: async ({ folder }) =>
          milliseconds(await time('grep', '-rl', 'quick brown', join(folder, 'copied'))),
      },
      {
        title: 'rm -r of the tree',
        unit: 'ms',
        run: async ({ folder }) => milliseconds(await time('rm', '-r', join(folder, 'copied'))),
      },
    ],
  }
}
