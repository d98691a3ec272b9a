import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from './docs/documents.js'

t.test('each program prints the version of package.json', async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const program of ['dfc', 'dfs-mount', 'dfs-server']) {
    const said = execFileSync(join(root, 'bin', program), ['--version'], { encoding: 'utf8' })
    t.equal(said, `dfs-pairs ${version}\n`, program)
  }
})
