/** Which documents this project has, and the files of its tree that they may name. */
import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** The folder of the project. The compiled tests are in dist/test/docs below it. */
export const root = resolve(import.meta.dirname, '../../..')

/** Paths of all documents, relative to `root`. */
export const documents: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...filesBelow('docs').filter((path) => path.endsWith('.md')),
]

/** Paths of all files of the source tree, relative to `root`. */
export const treeFiles: readonly string[] = [
  'src',
  'test',
  'bench',
  'bin',
  'examples',
  'config',
  'grafana',
  'web',
  'scripts',
  'docs',
]
  .filter((folder) => existsSync(join(root, folder)))
  .flatMap(filesBelow)

function filesBelow(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
}
