/**
 * Runs test files, each in a process of its own, and reports them as tap does: all of them, those named on the
 * command line, or with the word `unit` the quick ones. Options are tap's (`--jobs`, `--reporter`, `--timeout`),
 * and .taprc says which files are tests. The command `tap` itself would load a coverage hook into every Node
 * process that a test starts, servers and mounts included, at 0.2 s of processor time for each.
 */
import { globSync } from 'node:fs'
import { TapConfig } from '@tapjs/config'
import { report } from '@tapjs/reporter'
import { t } from 'tap'
import { temporaryFolder } from './fixtures/mortal.js'

/** Tests with real clusters and mounts, and those that try many cases: the longest begin first. */
const long = [
  'dist/test/cluster/disk-faults.js',
  'dist/test/quorum-model.js',
  'dist/test/simulation.js',
  'dist/test/fuse/told-attributes.js',
  'dist/test/packages/boot.js',
  'dist/test/mount/**',
  'dist/test/cluster/**',
  'dist/test/storm.js',
  'dist/test/fuzz.js',
  'dist/test/mortal.js',
]

const config = await TapConfig.load()
const { positionals } = config.parse()
const isUnit = positionals[0] === 'unit'
const files = positionals.length > 0 && !isUnit ? positionals : testFiles(isUnit)
const { CI, TAP } = process.env
const isForPeople = process.stdout.isTTY && !CI && TAP !== '1'

if (isForPeople) await report(config.get('reporter') ?? 'base', t, config)
// The time-out is for each file.
t.setTimeout(0)
t.plan(files.length)
t.jobs = config.get('jobs') ?? 1
// Most processes that tests start load the same modules: each is compiled once, and kept until the end of this one.
process.env.NODE_COMPILE_CACHE = temporaryFolder('dfs-compiled-')
for (const file of files) {
  const node = [process.execPath, '--enable-source-maps', file]
  // tap adds its hook to NODE_OPTIONS of what it spawns. The kernel ends a test file with this process.
  void t.spawn('setpriv', ['--pdeathsig', 'KILL', 'env', '--unset=NODE_OPTIONS', ...node], {
    name: file,
    timeout: (config.get('timeout') ?? 600) * 1000,
    stdio: isForPeople ? 'pipe' : 'inherit',
    buffered: t.jobs > 1,
    at: null,
    stack: '',
  })
}

function testFiles(isUnit: boolean): readonly string[] {
  const { include = [], exclude = [] } = config.values
  const tests = new Set(globSync(include, { exclude }))
  const first = long.flatMap((some) => globSync(some).sort()).filter((file) => tests.delete(file))
  return [...(isUnit ? [] : first), ...[...tests].sort()]
}
