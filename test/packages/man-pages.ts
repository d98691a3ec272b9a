/** Man pages: they are as the grammars have them, and man(1) shows them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../docs/documents.js'
import { manPages } from '../docs/man-pages.js'
import { optionsOf, pathsOf, programs } from '../docs/programs.js'
import { isInstalled } from '../fixtures/installed.js'

const pages = manPages()
const noMan = isInstalled('man') ? false : 'man is not installed'
const noMandoc = isInstalled('mandoc') ? false : 'mandoc is not installed'

/** The page as a reader sees it, in one line. */
function rendered(file: string): string {
  const env = { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '500', MANPAGER: 'cat' }
  const man = spawnSync('man', ['--warnings', '-l', join(root, file)], { env, encoding: 'utf8' })
  if (man.status !== 0 || man.stderr !== '') throw new Error(`${file}: ${man.stderr}`)
  return man.stdout.replaceAll(/\s+/g, ' ')
}

t.test('the man pages are as `npm run docs` writes them, and in the package', async (t) => {
  for (const [file, text] of Object.entries(pages)) {
    t.equal(readFileSync(join(root, file), 'utf8'), text, file)
  }
  const { man } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  t.same(
    man,
    Object.keys(pages)
      .map((file) => `./${file}`)
      .sort(),
  )
})

t.test('man shows every command and option of each program', { skip: noMan }, async (t) => {
  for (const { name, grammar } of programs) {
    const text = rendered(`man/${name}.1`)
    for (const [path, command] of pathsOf(grammar)) {
      t.ok(text.includes(path), `${name} ${path}`)
      for (const { flags, long } of optionsOf(command)) {
        if (long !== '--help') t.ok(text.includes(flags), `${name} ${path} ${flags}`)
      }
    }
  }
  t.match(rendered('man/mount.dfs.8'), /CONFIG MOUNTPOINT .* -o allow_other other users/)
})

t.test('mandoc finds no error in the man pages', { skip: noMandoc }, async (t) => {
  for (const file of Object.keys(pages)) {
    const lint = spawnSync('mandoc', ['-T', 'lint', '-W', 'error', file], {
      cwd: root,
      encoding: 'utf8',
    })
    t.equal(lint.stdout + lint.stderr, '', file)
  }
})

t.test('the help of each program has the options of its man page', async (t) => {
  for (const { name } of programs) {
    const help = execFileSync(join(root, 'bin', name), ['--help'], { encoding: 'utf8' })
    for (const [, long = ''] of help.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)) {
      t.ok(pages[`man/${name}.1`]?.includes(long.replaceAll('-', '\\-')), `${name} ${long}`)
    }
  }
})
