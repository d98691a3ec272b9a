/**
 * One server that answers a second late. The mount must not become as slow as that: at most once, while
 * it finds out, is it waited for.
 */
import { existsSync } from 'node:fs'
import t from 'tap'
import { checkAll, clean, healNow, openClient } from '../fixtures/library.js'
import { TestMounts } from '../fixtures/mount.js'
import { openProxies } from '../fixtures/server-proxy.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(240_000)

const works = {
  'a cold read of 64 MiB': 'cmp big "$SOURCE"',
  'a cold read of 100 small files': 'cat small/* > /dev/null',
  'ls -l of 500 files': 'ls -l many > /dev/null',
  'creation of 100 small files': 'mkdir $NAME; for i in $(seq 100); do echo $i > $NAME/$i; done',
  'renaming 100 files and removing them':
    'for i in $NAME/*; do mv $i $i.x; done; find $NAME -type f -delete; rmdir $NAME',
  '10 fsyncs':
    'for i in $(seq 10); do dd if=/dev/zero of=s$i bs=4k count=1 conv=fsync 2> /dev/null; done',
  'a copy of 64 MiB into it': 'cp "$SOURCE" $NAME.big',
  df: 'sleep 1.1; df . > /dev/null',
} as const

const slowTimes = 1.5
const onceMs = 2_000
const skip = existsSync('/dev/fuse') ? false : 'there is no /dev/fuse'

t.test('a server that answers a second late makes nothing slow', { skip }, async (t) => {
  const servers = await startServerProcesses(t)
  const { proxies, config } = await openProxies(t, servers)
  const mounts = new TestMounts(t, config)
  const source = mounts.path('source')
  const first = await mounts.start('first')
  await first.out(`head -c 64M /dev/urandom > ${source}; cp ${source} big; mkdir small many
    for i in $(seq 100); do head -c 3000 /dev/urandom > small/$i; done
    for i in $(seq 500); do echo $i > many/$i; done`)
  await first.close()

  /** Measures in a new mount with empty caches. */
  const measure = async (name: string): Promise<number[]> => {
    const mount = await mounts.start(name)
    const took: number[] = []
    for (const script of Object.values(works)) {
      const begin = performance.now()
      await mount.out(script, { SOURCE: source, NAME: name })
      took.push(performance.now() - begin)
    }
    const begin = performance.now()
    t.equal(await mount.end(), 0)
    t.ok(performance.now() - begin < 5_000, `${name}: ended in ${performance.now() - begin} ms`)
    return took
  }

  const healthy = await measure('healthy')
  for (const slow of [1, 2]) {
    for (const [index, proxy] of proxies.entries()) proxy.delayMs = index === slow ? 1_000 : 0
    const took = await measure(`slow${slow}`)
    for (const [index, what] of Object.keys(works).entries()) {
      const ms = Math.round(took[index] ?? 0)
      const usualMs = Math.round(healthy[index] ?? 0)
      t.ok(ms < usualMs * slowTimes + onceMs, `${what}: ${ms} ms, without it ${usualMs} ms`)
    }
  }
  const client = await openClient(t, servers)
  t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
  t.match(await checkAll(client), clean)
})
