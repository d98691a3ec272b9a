/** `dfc get` that is ended by a signal at any moment, into a disk that takes its time: no temporary file stays there. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { UserOfDfc } from '../fixtures/client.js'
import { FaultyDisks, noFaultyDisks } from '../fixtures/faulty-disks.js'
import { outcomeOf } from '../fixtures/outcome.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServers, until } from '../fixtures/servers.js'

t.setTimeout(120_000)
const seed = Number(process.env.KILLS_SEED ?? Math.floor(Date.now() / 1000))
const kills = Number(process.env.KILLS ?? 10)
const statusOf = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

function temporariesIn(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.includes('.dfc-'))
}

t.test('no temporary file stays, whenever a signal comes', { skip: noFaultyDisks }, async (t) => {
  const random = new Seeded(seed)
  t.comment(`KILLS_SEED=${seed}`)
  const servers = await startServers(t)
  const alice = new UserOfDfc(join(t.testdirName, 'alice'), servers.config('alice', 10_000))
  for (let index = 0; index < 120; index += 1) {
    const folder = `many/${Math.floor(index / 3)}`
    mkdirSync(alice.path(folder), { recursive: true })
    writeFileSync(alice.path(`${folder}/${index}`), random.bytes(1 + random.below(5_000)))
  }
  t.match(await alice.dfc('put', '-r', 'many', '/'), { status: 0 })
  const disks = await FaultyDisks.mount()
  t.teardown(() => disks.close())
  await disks.strike(0, {
    effect: { delayMs: 20 },
    operations: ['create', 'write', 'rename', 'unlink', 'stat'],
  })
  const [mountpoint = '', real = ''] = [disks.mountpoints[0], disks.real[0]]
  for (let turn = 0; turn < kills; turn += 1) {
    const words = ['get', '-r', 'many', join(mountpoint, `${turn}`)]
    // With one thread for all, a file is often about to be made and not there yet.
    const child = alice.start(words, { UV_THREADPOOL_SIZE: '1' })
    const outcome = outcomeOf(child)
    await until(() => existsSync(join(real, `${turn}`)))
    await sleep(random.below(300))
    const signal = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const)[random.below(3)] ?? 'SIGINT'
    child.kill(signal)
    t.equal((await outcome).status, statusOf[signal])
    t.same(temporariesIn(real), [], `${signal} in turn ${turn}`)
  }
})
