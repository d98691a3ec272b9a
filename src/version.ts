/** The version of this package. It stands in package.json alone. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** This file runs as <project>/dist/src/version.js. */
const packageFile = join(import.meta.dirname, '../../package.json')

export const version: string = JSON.parse(readFileSync(packageFile, 'utf8')).version

/** The arguments of Commander's `version`, for all programs. */
export const versionOption = [
  `dfs-pairs ${version}`,
  '--version',
  'print the version of dfs-pairs',
] as const
