import t from 'tap'
import { noFaultyDisks, startServersOnDisks } from '../fixtures/faulty-disks.js'
import { healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { until } from '../fixtures/servers.js'

t.test('servers keep what they have on disks of a process', { skip: noFaultyDisks }, async (t) => {
  const { servers, disks } = await startServersOnDisks(t)
  const client = await openClient(t, servers)
  const bytes = Buffer.alloc(3_000_000, 7)
  await putFile(client, 'large', bytes)
  await putFile(client, 'small', Buffer.alloc(900, 1))
  for (const index of [0, 1, 2, 3]) await servers.kill(index)
  for (const index of [0, 1, 2, 3]) await servers.start(index)
  await until(() => client.cluster.up.length === 4)
  t.ok(bytes.equals(await readFile(client, 'large')))
  t.match(await client.keeper.heal(healNow), { left: 0, swept: true })
  t.equal(await disks.struck(0), 0)
})
