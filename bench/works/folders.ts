/** Makes many small folders, searches them and removes them. */
import { join } from 'node:path'
import { msEach } from '../order.js'
import { time } from '../programs.js'
import type { Scale } from '../scale.js'
import { milliseconds, type Site, type Work } from '../work.js'

const filesInFolder = 3
const fileBytes = 4096

const foldersIn = ({ folder }: Site): string => join(folder, 'folders')

export function folders({ folders, rounds }: Scale): Work {
  const find = async (site: Site): Promise<number> =>
    milliseconds(await time('find', foldersIn(site), '-type', 'f'))

  return {
    name: 'folders',
    rounds,
    secondsMax: 60,
    steps: [
      {
        title: `mkdir and ${filesInFolder} files in each of ${folders}`,
        unit: 'ms each',
        run: async (site) => {
          await time('mkdir', foldersIn(site))
          return msEach({
            task: 'createFolders',
            path: foldersIn(site),
            count: folders,
            of: filesInFolder,
            bytes: fileBytes,
          })
        },
      },
      {
        title: `find in ${folders} folders, cold`,
        unit: 'ms',
        cold: true,
        needs: 'find',
        run: find,
      },
      {
        title: 'find again',
        unit: 'ms',
        needs: 'find',
        run: async (site) => {
          // Emptying the caches for one place may have emptied the kernel's cache of another one.
          await find(site)
          return find(site)
        },
      },
      {
        title: `rm -rf of ${folders} folders of ${filesInFolder} files, warm`,
        unit: 'ms',
        run: async (site) => milliseconds(await time('rm', '-rf', foldersIn(site))),
      },
    ],
  }
}
