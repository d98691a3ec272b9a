/** Runs the programs that bring whole trees of thousands of files, and removes these. */
import { join } from 'node:path'
import { readOnce, run } from '../programs.js'
import type { Scale } from '../scale.js'
import { milliseconds, type Work } from '../work.js'

const deadlineMs = 600_000

export function trees({ treeFolders, repositoryFiles, rounds }: Scale): Work {
  const ms = async (program: string, ...args: readonly string[]): Promise<number> =>
    milliseconds((await run(program, args, { deadlineMs })).seconds)

  return {
    name: 'trees',
    rounds,
    secondsMax: 240,
    steps: [
      {
        title: `tar x of ${3 * treeFolders} files in ${treeFolders} folders`,
        unit: 'ms',
        needs: 'tar',
        run: async ({ folder, sources }) => {
          const to = join(folder, 'unpacked')
          await ms('mkdir', to)
          await readOnce(sources.wideTree.archive)
          return ms('tar', '-xf', sources.wideTree.archive, '-C', to)
        },
      },
      {
        title: 'rsync -a of the same',
        unit: 'ms',
        needs: 'rsync',
        run: async ({ folder, sources }) => {
          await readOnce(sources.wideTree.folder)
          return ms('rsync', '-a', `${sources.wideTree.folder}/`, join(folder, 'synced'))
        },
      },
      {
        title: `git clone of a repository of ${repositoryFiles} files`,
        unit: 'ms',
        needs: 'git',
        run: async ({ folder, sources }) => {
          await readOnce(join(sources.bigRepository, '.git'))
          const to = join(folder, 'cloned')
          return ms('git', 'clone', '--quiet', '--no-hardlinks', sources.bigRepository, to)
        },
      },
      {
        title: 'rm -rf of all that',
        unit: 'ms',
        run: ({ folder }) => {
          const all = ['unpacked', 'synced', 'cloned'].map((name) => join(folder, name))
          return ms('rm', '-rf', ...all)
        },
      },
    ],
  }
}
