/** What scripts/setup puts under .node: the Node that it names by version and SHA-256, and nothing else. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from './docs/documents.js'

/** A registry that has been broken into: it gives something else under the right name. */
const npm = `#!/bin/sh
while [ $# -gt 1 ]; do
  case $1 in --pack-destination) folder=$2; shift ;; esac
  shift
done
echo "$1" > asked
mkdir -p package/bin
printf '#!/bin/sh\\ntouch ran\\necho v24.0.0\\n' > package/bin/node
chmod +x package/bin/node
tar -czf "$folder/$(echo "$1" | sed 's/@/-/').tgz" package
`

t.test('a Node with another SHA-256 is neither kept nor run', async (t) => {
  const tree = t.testdir({ tools: {}, scripts: {} })
  const write = (name: string, text: string): void =>
    writeFileSync(join(tree, 'tools', name), text, { mode: 0o755 })
  write('npm', npm)
  write('node', '#!/bin/sh\necho v1.0.0\n')
  write('fusermount3', '#!/bin/sh\n')
  for (const name of ['setup', 'node']) {
    copyFileSync(join(root, 'scripts', name), join(tree, 'scripts', name))
  }
  mkdirSync(join(tree, 'dist'))
  const { status, stderr } = spawnSync(join(tree, 'scripts/setup'), {
    env: { PATH: `${join(tree, 'tools')}:${process.env.PATH}` },
    encoding: 'utf8',
  })
  t.equal(status, 1)
  t.match(
    stderr,
    /setup: what came as node-linux-\w+ 24\.\d+\.\d+ is not it: its SHA-256 is another/,
  )
  t.match(readFileSync(join(tree, 'asked'), 'utf8'), /^node-linux-\w+@24\.\d+\.\d+\n$/)
  t.notOk(existsSync(join(tree, 'ran')), 'it did not run')
  t.notOk(existsSync(join(tree, '.node')), 'it is not kept')
})
