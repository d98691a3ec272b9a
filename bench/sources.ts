/** Files that the works copy: made once on the local disk, and read once so that they are in memory. */
import { randomFillSync } from 'node:crypto'
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { time } from './programs.js'
import type { Scale } from './scale.js'

export interface Sources {
  /** A file of `scale.copyMiB`. */
  readonly file: string
  /** A file of `scale.bigMiB`. */
  readonly bigFile: string
  /** A folder with 97 files of 1 to 64 KiB in 13 folders. */
  readonly tree: string
  readonly treeFiles: number
  readonly archive: string
  /** A git repository of that tree with a little history. */
  readonly repository: string
}

const MiB = 1024 * 1024
const treeFiles = 97
const treeFolders = 12
const commits = 5

export async function makeSources(home: string, scale: Scale): Promise<Sources> {
  const folder = join(home, 'sources')
  const sources: Sources = {
    file: join(folder, 'file'),
    bigFile: join(folder, 'big-file'),
    tree: join(folder, 'tree'),
    treeFiles,
    archive: join(folder, 'tree.tar'),
    repository: join(folder, 'repository'),
  }
  mkdirSync(folder)
  writeRandom(sources.file, scale.copyMiB)
  writeRandom(sources.bigFile, scale.bigMiB)
  makeTree(sources.tree)
  await time('tar', '-cf', sources.archive, '-C', folder, 'tree')
  await makeRepository(sources)
  await time('sync', '--file-system', folder)
  return sources
}

function writeRandom(path: string, sizeMiB: number): void {
  const block = Buffer.allocUnsafe(MiB)
  const file = openSync(path, 'w')
  for (let done = 0; done < sizeMiB; done += 1) writeSync(file, randomFillSync(block))
  closeSync(file)
}

/** Half of the bytes repeat, as those of text do. */
function makeTree(tree: string): void {
  for (let index = 0; index < treeFiles; index += 1) {
    const folder = join(tree, `folder-${index % treeFolders}`)
    mkdirSync(folder, { recursive: true })
    const bytes = Buffer.alloc(1024 * (1 + ((index * 37) % 64)), 'the quick brown fox\n')
    randomFillSync(bytes, 0, bytes.length >> 1)
    writeFileSync(join(folder, `file-${index}`), bytes)
  }
}

async function makeRepository({ tree, repository }: Sources): Promise<void> {
  const git = ['-C', repository, '-c', 'user.name=bench', '-c', 'user.email=bench@localhost']
  await time('cp', '-r', tree, repository)
  await time('git', ...git, 'init', '--quiet')
  for (let index = 0; index < commits; index += 1) {
    writeFileSync(join(repository, 'changes'), `change ${index}\n`)
    await time('git', ...git, 'add', '--all')
    await time('git', ...git, 'commit', '--quiet', '--message', `change ${index}`)
  }
}
