/** Files that the works copy: made once on the local disk, and read once so that they are in memory. */
import { createHash, randomFillSync } from 'node:crypto'
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { isInstalled, time } from './programs.js'
import type { Scale } from './scale.js'

/** A folder, and an archive of it made by tar if tar is installed. */
export interface Tree {
  readonly folder: string
  readonly archive: string
}

export interface Sources {
  /** A file of `scale.copyMiB`. */
  readonly file: string
  /** A file of `scale.bigMiB`. */
  readonly bigFile: string
  /** A folder with 97 files of 1 to 57 KiB in 12 folders. */
  readonly tree: Tree
  /** A git repository of that tree with a little history, if git is installed. */
  readonly repository: string
  /** Three files of 1 to 4 KiB in each of `scale.treeFolders` folders. */
  readonly wideTree: Tree
  /** A git repository of `scale.repositoryFiles` such files, if git is installed. */
  readonly bigRepository: string
  /** `scale.memoryFiles` such files. */
  readonly memoryTree: Tree
}

/** Files of a tree and how they are made. */
interface Shape {
  readonly files: number
  readonly folders: number
  /** The sizes are from 1 KiB to this. */
  readonly largestKiB: number
}

const MiB = 1024 * 1024
const commits = 5
const smallShape = { files: 97, folders: 12, largestKiB: 57 }
const filesInFolder = 3
const filesInLargerFolder = 20

export async function makeSources(home: string, scale: Scale): Promise<Sources> {
  const folder = join(home, 'sources')
  mkdirSync(folder)
  const [file, bigFile] = [join(folder, 'file'), join(folder, 'big-file')]
  writeRandom(file, scale.copyMiB)
  writeRandom(bigFile, scale.bigMiB)
  const tree = await makeTree(join(folder, 'tree'), smallShape)
  const bigTree = await makeTree(join(folder, 'big-tree'), shapeOf(scale.repositoryFiles))
  const sources: Sources = {
    file,
    bigFile,
    tree,
    repository: await makeRepository(join(folder, 'repository'), tree, commits),
    wideTree: await makeTree(join(folder, 'wide-tree'), {
      files: scale.treeFolders * filesInFolder,
      folders: scale.treeFolders,
      largestKiB: 4,
    }),
    bigRepository: await makeRepository(join(folder, 'big-repository'), bigTree, 1),
    memoryTree: await makeTree(join(folder, 'memory-tree'), shapeOf(scale.memoryFiles)),
  }
  await time('sync', '--file-system', folder)
  return sources
}

function shapeOf(files: number): Shape {
  return { files, folders: Math.ceil(files / filesInLargerFolder), largestKiB: 4 }
}

function writeRandom(path: string, sizeMiB: number): void {
  const block = Buffer.allocUnsafe(MiB)
  const file = openSync(path, 'w')
  for (let done = 0; done < sizeMiB; done += 1) writeSync(file, randomFillSync(block))
  closeSync(file)
}

/** Makes a tree that is the same in every run. Half of the bytes repeat, as those of text do. */
async function makeTree(path: string, { files, folders, largestKiB }: Shape): Promise<Tree> {
  for (let index = 0; index < files; index += 1) {
    const folder = join(path, `folder-${index % folders}`)
    mkdirSync(folder, { recursive: true })
    const bytes = Buffer.alloc(1024 * (1 + ((index * 37) % largestKiB)), 'the quick brown fox\n')
    bytesOf(index, bytes.length >> 1).copy(bytes)
    writeFileSync(join(folder, `file-${index}`), bytes)
  }
  const archive = `${path}.tar`
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner']
  if (isInstalled('tar')) await time('tar', ...same, '-cf', archive, '-C', path, '.')
  return { folder: path, archive }
}

/** Returns bytes that look random and are the same for the same index. */
function bytesOf(index: number, count: number): Buffer {
  return createHash('shake128', { outputLength: count }).update(String(index)).digest()
}

async function makeRepository(path: string, { folder }: Tree, commits: number): Promise<string> {
  if (!isInstalled('git')) return path
  const git = ['-C', path, '-c', 'user.name=bench', '-c', 'user.email=bench@localhost']
  await time('cp', '-r', folder, path)
  await time('git', ...git, 'init', '--quiet')
  for (let index = 0; index < commits; index += 1) {
    writeFileSync(join(path, 'changes'), `change ${index}\n`)
    await time('git', ...git, 'add', '--all')
    await time('git', ...git, 'commit', '--quiet', '--message', `change ${index}`)
  }
  return path
}
