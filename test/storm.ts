/**
 * Many programs at the same names while servers are killed: a short storm as part of the tests. A longer
 * one: STORM_SECONDS=600 npm test -- dist/test/storm.js
 */
import { existsSync } from 'node:fs'
import t from 'tap'
import { TestMounts } from './fixtures/mount.js'
import { startServerProcesses } from './fixtures/servers.js'
import { runStorm, type StormWorker } from './storm/run.js'

const seconds = Number(process.env.STORM_SECONDS ?? 8)
const seed = Number(process.env.STORM_SEED ?? Math.floor(Date.now() / 1000))
const ms = seconds * 1000

t.setTimeout(ms * 4 + 240_000)
t.comment(`STORM_SEED=${seed}`)

t.test('clients of two users at the same names while servers are killed', async (t) => {
  const servers = await startServerProcesses(t)
  const workers = (['alice', 'alice', 'alice', 'bob', 'bob'] as const).map(
    (user, index): StormWorker => ({
      user,
      orders: { name: `${user}${index}`, config: servers.config(user) },
    }),
  )
  await runStorm(t, servers, workers, { seed, ms })
})

const skip = existsSync('/dev/fuse') ? false : 'there is no /dev/fuse'

t.test(
  'three mounts of one user at the same names while servers are killed',
  { skip },
  async (t) => {
    const servers = await startServerProcesses(t)
    const mounts = new TestMounts(t, servers.config())
    const workers: StormWorker[] = []
    for (const name of ['a', 'b', 'c']) {
      const { mountpoint } = await mounts.start(name)
      workers.push({ user: 'alice', orders: { name, folder: mountpoint } })
    }
    await runStorm(t, servers, workers, { seed, ms })
  },
)
