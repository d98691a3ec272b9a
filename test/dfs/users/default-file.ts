import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { assertServersRead } from '../../../src/dfs/users/default-file.js'

t.test('refuses a file that no server would read, and names one that a server reads', async (t) => {
  const file = join(t.testdir(), 'dfs.conf')
  const servers = join(t.testdirName, 'servers')
  t.doesNotThrow(() => assertServersRead(file, servers), 'no server is there')
  mkdirSync(join(servers, 'DFS2'), { recursive: true })
  t.doesNotThrow(() => assertServersRead(file, servers), 'a server without a file of its own')
  for (const name of ['DFS2', 'DFS1']) {
    mkdirSync(join(servers, name), { recursive: true })
    writeFileSync(join(servers, name, 'dfs.conf'), '')
  }
  t.throws(() => assertServersRead(file, servers), {
    code: 'configuration',
    message: new RegExp(`--config ${join(servers, 'DFS1', 'dfs.conf')}$`),
  })
  writeFileSync(file, '')
  t.doesNotThrow(() => assertServersRead(file, servers), 'the file is there')
})
