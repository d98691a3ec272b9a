/** Four servers and a client with a network each: what a mount does while links are cut and servers are moved and replaced. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { noMounts } from '../fixtures/fuse-program.js'
import { isInstalled } from '../fixtures/installed.js'
import { temporaryFolder } from '../fixtures/mortal.js'

t.setTimeout(600_000)

const root = join(import.meta.dirname, '../../..')
const killMs = 180_000

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return 'only root can make networks'
  return isInstalled('ip') && isInstalled('unshare') ? noMounts : 'ip or unshare is not installed'
}

t.test(
  'no file is lost, and no program waits for long, whatever link or server goes',
  { skip: whyNot() },
  async (t) => {
    const folder = temporaryFolder('dfs-machines-')
    const script = join(root, 'test/fixtures/four-machines.sh')
    const alone = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
    const words = ['--pdeathsig', 'KILL', 'unshare', ...alone, script, join(root, 'bin'), folder]
    const { stdout } = await promisify(execFile)('setpriv', words, { timeout: killMs })
    const complete = 'All four servers are up and complete.'
    t.same(stdout.trimEnd().split('\n'), [
      ...[1, 2, 3, 4].map((number) => `DFS${number}: TLS`),
      'cut: 0 failed, 0 lost, soon',
      `back: ${complete}`,
      'back: 0 failed, 0 lost, soon',
      `DFS3 answers at 192.0.2.33:10003: written to ${folder}/dfc.conf`,
      'Mounts that use this file take the address as soon as they lose the server at the old one',
      `moved: ${complete}`,
      'moved: 0 failed, 0 lost, soon',
      'DFS4 is complete, and so are the others: the next server may be taken down.',
      'replaced: 0 failed, 0 lost, soon',
      'alone: refused',
      `alone: ${complete}`,
      'x',
    ])
  },
)
