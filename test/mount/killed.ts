/**
 * A mount that is killed at any moment and mounted again on the same machine: every call that was answered is there,
 * and the one that was not is there as a whole or not at all. KILLS=200 kills more often.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { describeTree, notesOf, possibleTrees } from '../fixtures/careful-writer.js'
import { checkAll, clean, healNow, openClient } from '../fixtures/library.js'
import { spawnMortal } from '../fixtures/mortal.js'
import { isMounted, shell, type TestMount, TestMounts } from '../fixtures/mount.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

const kills = Number(process.env.KILLS ?? 8)
const seed = Number(process.env.KILLS_SEED ?? Math.floor(Date.now() / 1000))
const program = join(import.meta.dirname, '../fixtures/careful-writer.js')
const dfsMount = resolve(import.meta.dirname, '../../../bin/dfs-mount')
const skip = existsSync('/dev/fuse') ? false : 'there is no /dev/fuse'
/** Errors of a program that has a file open in a killed mount. */
const deadErrors = ['ENOTCONN', 'ECONNABORTED', 'EIO', 'ENOENT']

t.setTimeout(120_000 + kills * 10_000)

/** A program that works in one folder of the mount, with its notes outside. */
class Writing {
  readonly folder: string
  readonly #notes: string

  constructor(mounts: TestMounts, folder: string) {
    this.folder = folder
    this.#notes = mounts.path(`notes of ${folder}`)
    writeFileSync(this.#notes, '')
  }

  start({ mountpoint }: TestMount, seed: number): ChildProcess {
    const words = [program, 'write', join(mountpoint, this.folder), this.#notes, `${seed}`]
    return spawnMortal(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
  }

  get answered(): number {
    const lines = readFileSync(this.#notes, 'utf8').split('\n')
    return lines.filter((line) => line.startsWith('{"is"')).length - 1
  }

  /** Throws when the folder is not as it may be. Afterwards the notes have what it is. */
  async check(mount: TestMount): Promise<void> {
    const found = await mount.out(`exec '${process.execPath}' '${program}' look ${this.folder}`)
    const notes = readFileSync(this.#notes, 'utf8')
    const possible = possibleTrees(notes)
    const tree = possible.find((one) => describeTree(one) === found)
    if (tree !== undefined) writeFileSync(this.#notes, notesOf(tree))
    else {
      const [answered, ...others] = possible.map(describeTree)
      const last = notes.split('\n').slice(-12).join('\n')
      throw new Error(`found:\n${found}\nanswered:\n${answered}\nor:\n${others}\nlast:\n${last}`)
    }
  }
}

/** Begins a mount, which stores what another one has left, and kills it `afterMs` later. */
async function killWhileStarting(
  mounts: TestMounts,
  mountpoint: string,
  afterMs: number,
): Promise<void> {
  const words = `timeout -s KILL ${afterMs / 1000} ${dfsMount} --foreground ${mountpoint}`
  await shell(words, mounts.path('.'), mounts.environment)
  await until(() => !isMounted(mountpoint))
}

/** Returns what was kept because the servers did not take it. */
function keptIn(mounts: TestMounts): string[] {
  const states = mounts.path('state/dfs')
  const folders = readdirSync(states).map((name) => join(states, name, 'recovery'))
  return folders.filter((folder) => existsSync(folder)).flatMap((folder) => readdirSync(folder))
}

t.test('a mount that is killed loses nothing that was answered', { skip }, async (t) => {
  t.comment(`KILLS_SEED=${seed}`)
  const servers = await startServerProcesses(t)
  const mounts = new TestMounts(t, servers.config())
  const random = new Seeded(seed)
  const writings = ['w0', 'w1'].map((folder) => new Writing(mounts, folder))
  let mount = await mounts.start('mnt')
  await mount.out('mkdir w0 w1')
  for (const writing of writings) await writing.check(mount)
  let answered = 0
  for (let kill = 0; kill < kills; kill += 1) {
    const { mountpoint, process: served } = mount
    const children = writings.map((writing) => writing.start(mount, random.below(2 ** 31)))
    // Without its mount it would go on in the folder below, for ever.
    t.teardown(() => {
      for (const child of children) child.kill('SIGKILL')
    })
    const told = children.map(async (child) => {
      let error = ''
      child.stdout?.on('data', (bytes: Buffer) => {
        error += bytes
      })
      await once(child, 'close')
      return error.trim()
    })
    await sleep(300 + random.below(700))
    served.kill('SIGKILL')
    for (const error of await Promise.all(told)) {
      if (!deadErrors.includes(error)) t.fail(`the writer was told ${error}`)
    }
    await until(() => !isMounted(mountpoint))
    if (random.below(3) === 0) await killWhileStarting(mounts, mountpoint, 100 + random.below(400))
    mount = await mounts.start('mnt')
    for (const writing of writings) answered += writing.answered
    try {
      for (const writing of writings) await writing.check(mount)
    } catch (thrown) {
      t.fail(`kill ${kill}: ${(thrown as Error).message}`)
      return
    }
    t.notMatch(mount.said.join(''), /discarded|could not be/, `kill ${kill}`)
  }
  t.equal(await mount.end(), 0)
  t.same(keptIn(mounts), [])
  t.ok(answered > kills, `${answered} calls were answered`)
  t.comment(`${answered} calls, ${kills} kills`)
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
