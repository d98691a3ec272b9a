import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startLines } from '../../src/dfs/setup.js'
import { root } from '../docs/documents.js'

t.test('names the unit where the folder is one that the unit runs', async (t) => {
  const unit = readFileSync(join(root, 'systemd/dfs-server@.service'), 'utf8')
  t.match(unit, '\nStateDirectory=dfs/%i\n')
  t.same(startLines('192.0.2.1', '/var/lib/dfs/DFS1/', 10_001), [
    'Start it:  dfs-server --host 192.0.2.1 /var/lib/dfs/DFS1/ 10001',
    'With systemd:  systemctl enable --now dfs-server@DFS1',
  ])
  t.equal(startLines('192.0.2.1', '/srv/DFS1', 10_001).length, 1)
  t.equal(startLines('192.0.2.1', '/var/lib/dfs', 10_001).length, 1)
})
