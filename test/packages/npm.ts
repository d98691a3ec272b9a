/**
 * The package as npm installs it for all users: its programs work from there, for a stranger as well, and write
 * nothing there. `.ci/on-node` runs it on the other Nodes that are supported.
 */
import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../docs/documents.js'
import { noMounts } from '../fixtures/fuse-program.js'
import { isInstalled } from '../fixtures/installed.js'
import { openFolder, stateOf, useInstalled, whoTries } from '../fixtures/installed-programs.js'

t.setTimeout(180_000)
const offline =
  /ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|ENOTCACHED/
const skip = noMounts || (isInstalled('npm') ? false : 'npm is not installed')

t.test('npm pack makes a package that installs and works for every user', { skip }, async (t) => {
  const folder = openFolder('dfs-npm-')
  // A stranger may not be able to enter the folder of the Node that runs this.
  const nodes = join(folder, 'node')
  mkdirSync(nodes)
  copyFileSync(process.execPath, join(nodes, 'node'))
  const path = `${nodes}:${process.env.PATH}`
  const npm = (...words: readonly string[]): SpawnSyncReturns<string> => {
    const { NODE_OPTIONS: _, ...env } = process.env
    const options = { env: { ...env, PATH: path }, cwd: root, encoding: 'utf8' } as const
    return spawnSync('npm', [...words, '--no-audit', '--no-fund', '--loglevel=error'], options)
  }
  // The build is there: it is the one that this test is part of.
  const packed = npm('pack', '--ignore-scripts', '--json', '--pack-destination', folder)
  t.equal(packed.status, 0, packed.stderr)
  const [{ filename }] = Object.values(JSON.parse(packed.stdout)) as [{ filename: string }]
  const prefix = join(folder, 'prefix')
  const words = [
    '--prefix',
    prefix,
    '--prefer-offline',
    '--fetch-retries=1',
    '--fetch-timeout=60000',
  ]
  const installed = npm('install', '--global', ...words, join(folder, filename))
  if (installed.status !== 0 && offline.test(installed.stderr)) {
    t.pass('npm installs it', {
      skip: `the registry cannot be reached: ${installed.stderr.split('\n')[0]}`,
    })
    return
  }
  t.equal(installed.status, 0, installed.stderr)
  execFileSync('chmod', ['-R', 'a-w', prefix])
  t.teardown(() => execFileSync('chmod', ['-R', 'u+w', prefix]))

  const before = stateOf(prefix)
  for (const who of whoTries) {
    const said = await useInstalled(t, who, `${join(prefix, 'bin')}:${path}`)
    t.match(said, 'There is no configuration', who)
    t.match(said, 'All four servers are up and complete.', who)
    t.match(said, /\ndone\n$/, who)
  }
  t.equal(stateOf(prefix), before, 'nothing was written where it is installed')
  const { bin, man } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const installedFile = (file: string): boolean =>
    existsSync(join(prefix, 'lib/node_modules/dfs-pairs', file))
  const files = [...Object.values<string>(bin), ...man, 'completions/dfc.bash', 'web/index.html']
  for (const file of files) t.ok(installedFile(file), file)
  t.ok(existsSync(join(prefix, 'share/man/man1/dfc.1')), 'man finds the page')
  t.notOk(existsSync(join(prefix, 'lib/node_modules/dfs-pairs/dist/test')), 'no tests')
})
