/** The Debian package: dpkg installs it below another root, it works from there, and it leaves no trace but data. */
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../docs/documents.js'
import { noMounts } from '../fixtures/fuse-program.js'
import { isInstalled } from '../fixtures/installed.js'
import { openFolder, stateOf, useInstalled, whoTries } from '../fixtures/installed-programs.js'

t.setTimeout(240_000)

const missing = ['dpkg-deb', 'dpkg', 'npm'].find((name) => !isInstalled(name))
const noPackage = missing === undefined ? false : `${missing} is not installed`
const noRoot = process.getuid?.() === 0 ? false : 'dpkg installs for root alone'

const script = join(root, 'scripts/deb')
const folder = openFolder('dfs-deb-')
const { NODE_OPTIONS: _, ...environment } = process.env
// The test wants it soon, and not small.
const env = { ...environment, DPKG_DEB_COMPRESSOR_TYPE: 'gzip', DPKG_DEB_COMPRESSOR_LEVEL: '1' }

/** Builds the package, which is so once for all tests of this file. */
function build(): string {
  const words = ['--node', 'system', folder]
  return execFileSync(script, words, { env, encoding: 'utf8' }).trimEnd()
}

t.test('scripts/deb says what it does not understand', { skip: noPackage }, async (t) => {
  const said = (...words: readonly string[]): readonly [number | null, string] => {
    const { status, stderr } = spawnSync(script, words, { env, encoding: 'utf8' })
    return [status, stderr]
  }
  t.same(said('--nodes', 'x')[0], 2)
  t.match(said('--node'), [2, /^usage: /])
  t.match(said('--node', 'mine'), [1, /deb: --node mine: expected private or system\n/])
  t.match(said(join(folder, 'nowhere')), [1, /nowhere: there is no such folder/])
})

t.test('the package installs, works, and goes', { skip: noPackage || noMounts }, async (t) => {
  const file = build()
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const field = (name: string): string =>
    execFileSync('dpkg-deb', ['-f', file, name], { encoding: 'utf8' }).trimEnd()
  t.equal(field('Version'), version.replace('-', '~'))
  t.equal(field('Depends'), 'fuse3, libc6 (>= 2.34), libstdc++6, nodejs (>= 22.13)')

  const other = join(folder, 'root')
  for (const made of ['info', 'updates', 'triggers']) {
    mkdirSync(join(other, 'var/lib/dpkg', made), { recursive: true })
  }
  writeFileSync(join(other, 'var/lib/dpkg/status'), '')
  const there = ['--root', other, '--log', '/dev/null', '--force-script-chrootless']
  const dpkg = (...words: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync('dpkg', [...there, ...words], {
      env,
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`dpkg ${words.join(' ')}: ${stderr}${stdout}`)
    return stdout
  }

  t.test('as dpkg installs it', { skip: noRoot }, async (t) => {
    // What it depends on is outside of that root.
    dpkg('--force-depends', '--install', file)
    t.match(dpkg('--force-depends', '--install', file), /restart the servers one after the other/)
    t.equal(spawnSync('dpkg', [...there, '--verify', 'dfs-pairs'], { env }).stdout.length, 0)
    t.same(existsSync(join(other, 'etc/dfs')) && field('Conffiles'), '', 'no configuration')
  })
  if (noRoot) execFileSync('dpkg-deb', ['-x', file, other])

  const inside = (path: string): string => join(other, path)
  t.test('its programs work for every user', async (t) => {
    const nodes = join(folder, 'node')
    mkdirSync(nodes)
    copyFileSync(process.execPath, join(nodes, 'node'))
    const before = stateOf(inside('usr'))
    for (const who of whoTries) {
      const said = await useInstalled(t, who, `${inside('usr/bin')}:${nodes}:${process.env.PATH}`)
      t.match(said, 'All four servers are up and complete.', who)
      t.match(said, /\ndone\n$/, who)
    }
    t.equal(stateOf(inside('usr')), before, 'nothing was written where it is installed')
  })

  t.test('its units, helpers, pages and completions are where Debian looks', async (t) => {
    for (const unit of ['dfs-server@', 'dfs-mount@']) {
      const text = readFileSync(inside(`usr/lib/systemd/system/${unit}.service`), 'utf8')
      const [, program = ''] = /^ExecStart=(\S+)/m.exec(text) ?? []
      t.ok(existsSync(inside(program)), `${unit}: ${program}`)
    }
    const { status, stderr } = spawnSync(inside('usr/sbin/mount.dfs'), ['--nonsense'], {
      env: { PATH: `${join(folder, 'node')}:${process.env.PATH}` },
      encoding: 'utf8',
    })
    t.match([status, stderr], [1, /unknown option '--nonsense'/])
    const unpacked = (file: string): string =>
      execFileSync('zcat', ['-f', inside(`usr/share/${file}`)], { encoding: 'utf8' })
    t.match(unpacked('man/man1/dfc.1.gz'), '.TH DFC 1')
    t.match(unpacked('man/man8/mount.fuse.dfs.8.gz'), '.TH MOUNT.DFS 8')
    t.match(
      unpacked('doc/dfs-pairs/changelog.gz'),
      /^dfs-pairs \(\d.*\) unstable; urgency=medium\n\n {2}\* .*\n\n -- .* <.*> {2}\w{3}, \d\d \w{3} \d{4} /,
    )
    t.match(unpacked('doc/dfs-pairs/CHANGELOG.md.gz'), '# Changelog')
    const files = [
      'usr/share/bash-completion/completions/dfc',
      'usr/share/zsh/vendor-completions/_dfs-mount',
      'usr/share/fish/vendor_completions.d/dfs-server.fish',
      'usr/share/doc/dfs-pairs/copyright',
      'usr/share/doc/dfs-pairs/examples/dfc.conf.sample',
      'usr/share/doc/dfs-pairs/examples/hello.ts',
    ]
    for (const file of files) t.ok(existsSync(inside(file)), file)
    t.notOk(existsSync(inside('usr/lib/dfs-pairs/node_modules/tap')), 'nothing for developers')
  })

  t.test('purge removes it, and no data', { skip: noRoot }, async (t) => {
    mkdirSync(inside('var/lib/dfs/DFS1'), { recursive: true })
    writeFileSync(inside('var/lib/dfs/DFS1/piece'), 'x')
    writeFileSync(inside('etc/dfs/dfc.conf'), 'user = "alice"\n')
    t.match(dpkg('--purge', 'dfs-pairs'), /\/var\/lib\/dfs has the data of servers, and is kept/)
    t.notOk(existsSync(inside('usr/lib/dfs-pairs')), 'the programs are gone')
    t.ok(existsSync(inside('var/lib/dfs/DFS1/piece')), 'data is kept')
    t.ok(existsSync(inside('etc/dfs/dfc.conf')), 'a configuration that somebody wrote is kept')
  })
})
