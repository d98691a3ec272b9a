import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import t from 'tap'
import { descriptorShares, descriptorsMax } from '../../../src/dfs/disk/descriptors.js'
import { limits } from '../../../src/limits.js'

t.test('reads how many descriptors a process may have', async (t) => {
  const file = resolve(import.meta.dirname, '../../../src/dfs/disk/descriptors.js')
  const program = `import(${JSON.stringify(file)}).then((m) => console.log(m.descriptorsMax()))`
  const out = execFileSync('sh', [
    '-c',
    'ulimit -n 321; exec "$0" -e "$1"',
    process.execPath,
    program,
  ])
  t.equal(Number(out), 321)
  t.ok(descriptorsMax() > 100)
})

t.test('all that is open at its most leaves a quarter or more', async (t) => {
  for (const descriptors of [64, 256, 1024, 4096, 65_536]) {
    const { connections, handshakes, userConnections, uploads } = descriptorShares(descriptors)
    t.ok(connections + 2 * uploads <= descriptors / 2, `${descriptors}`)
    t.ok(handshakes <= connections / 4 && userConnections <= connections / 4)
    t.ok(handshakes > 0 && userConnections > 0 && uploads > 0)
  }
  t.same(descriptorShares(Number.POSITIVE_INFINITY), {
    connections: limits.connectionsMax,
    handshakes: limits.handshakesMax,
    userConnections: limits.userConnectionsMax,
    uploads: limits.serverUploadsMax,
  })
})
