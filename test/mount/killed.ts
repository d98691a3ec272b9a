/**
 * A mount that is killed at any moment: what was closed is there, as it was closed; what was being
 * written is whole, the old or the new; what was fsynced is there. KILLS=200 kills more often.
 */
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { bytesOf, type Content, names, possibleAfter } from '../fixtures/careful-writer.js'
import { checkAll, clean, healNow, openClient } from '../fixtures/library.js'
import { spawnMortal } from '../fixtures/mortal.js'
import { isMounted, type TestMount, TestMounts } from '../fixtures/mount.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

const kills = Number(process.env.KILLS ?? 8)
const seed = Number(process.env.KILLS_SEED ?? Math.floor(Date.now() / 1000))
const writer = join(import.meta.dirname, '../fixtures/careful-writer.js')
const skip = existsSync('/dev/fuse') ? false : 'there is no /dev/fuse'
/** Errors of a program that has a file open in a killed mount. */
const deadErrors = ['ENOTCONN', 'ECONNABORTED', 'EIO', 'ENOENT']

t.setTimeout(120_000 + kills * 10_000)

/** Returns the index of the content that a name has. Throws when it has none of them. */
async function which(
  mount: TestMount,
  name: string,
  allowed: readonly Content[],
  copy: string,
): Promise<number> {
  await mount.out(`rm -f ${copy}; if [ -e ${name} ]; then cat ${name} > ${copy}; fi`)
  const bytes = existsSync(copy) ? readFileSync(copy) : undefined
  const at = allowed.findIndex((content) =>
    content === null ? bytes === undefined : bytes?.equals(bytesOf(content)),
  )
  if (at >= 0) return at
  const lengths = allowed.map((content) => content && bytesOf(content).length)
  throw new Error(`${name} has ${bytes?.length} bytes, which is none of ${JSON.stringify(lengths)}`)
}

t.test('a mount that is killed loses nothing that was closed or fsynced', { skip }, async (t) => {
  t.comment(`KILLS_SEED=${seed}`)
  const servers = await startServerProcesses(t)
  const mounts = new TestMounts(t, servers.config())
  const random = new Seeded(seed)
  const notes = mounts.path('notes')
  const copy = mounts.path('copy')
  writeFileSync(notes, '')
  let done = 0
  for (let kill = 0; kill < kills; kill += 1) {
    const mount = await mounts.start('mnt')
    const first = (kill + 1) * 1_000_000
    const words = [writer, mount.mountpoint, notes, `${random.below(2 ** 31)}`, `${first}`]
    const child = spawnMortal(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
    const told: Buffer[] = []
    child.stdout?.on('data', (bytes: Buffer) => told.push(bytes))
    // Without its mount it would go on in the folder below, for ever.
    t.teardown(() => child.kill('SIGKILL'))
    const ended = once(child, 'close')
    await sleep(200 + random.below(1_500))
    mount.process.kill('SIGKILL')
    await ended
    const error = Buffer.concat(told).toString().trim()
    if (!deadErrors.includes(error)) t.fail(`the writer was told ${error}`)
    await until(() => !isMounted(mount.mountpoint))

    const again = await mounts.start('mnt')
    const text = readFileSync(notes, 'utf8')
    done = text.split('\n').filter((line) => line.startsWith('{"done"')).length
    for (const [name, allowed] of possibleAfter(text)) {
      try {
        const content = allowed[await which(again, name, allowed, copy)] ?? null
        // From here on it is this one.
        const settled = [{ begin: name, after: content }, { done: name }]
        writeFileSync(notes, settled.map((note) => `${JSON.stringify(note)}\n`).join(''), {
          flag: 'a',
        })
      } catch (thrown) {
        t.fail(`kill ${kill}: ${(thrown as Error).message}`)
      }
    }
    t.equal(await again.end(), 0)
  }
  t.ok(done > kills, `${done} changes were done`)
  t.comment(`${done} changes of ${names.length} files, ${kills} kills`)
  const client = await openClient(t, servers)
  await until(() => client.cluster.voters.length === 4)
  t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
  // What was uploaded and never committed is kept for a day.
  const { garbage: _, ...rest } = clean
  t.match(await checkAll(client), rest)
})

t.test(
  'data that could not be stored outlasts a kill in the recovery folder',
  { skip },
  async (t) => {
    const servers = await startServerProcesses(t)
    const mounts = new TestMounts(t, servers.config())
    const mount = await mounts.start('mnt')
    const opened = mounts.path('opened')
    const frozen = mounts.path('frozen')
    const script = `const fs = require('node:fs')
    const [opened, frozen] = process.argv.slice(1)
    const file = fs.openSync('lost', 'w')
    fs.writeSync(file, 'typed before\\n')
    fs.writeFileSync(opened, '')
    while (!fs.existsSync(frozen)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
    try { fs.closeSync(file); console.log('none') } catch ({ code }) { console.log(code) }`
    const writing = mount.node(script, opened, frozen)
    await until(() => existsSync(opened))
    await servers.kill(0, 2)
    writeFileSync(frozen, '')
    t.match(await writing, /^(EIO|EROFS)$/)
    const states = mounts.path('state/dfs')
    const recovery = join(
      states,
      readdirSync(states).find((name) => name.startsWith('mnt-')) ?? '',
      'recovery',
    )
    const kept = (): string[] =>
      existsSync(recovery) ? readdirSync(recovery).filter((name) => !name.endsWith('.part')) : []
    await until(() => kept().length === 1)
    mount.process.kill('SIGKILL')
    await until(() => !isMounted(mount.mountpoint))
    t.equal(readFileSync(join(recovery, kept()[0] ?? ''), 'utf8'), 'typed before\n')
  },
)
