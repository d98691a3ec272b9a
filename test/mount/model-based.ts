/**
 * Programs of a few operations in a mount and in a local folder: whatever is not stored yet, every result, error,
 * listing and attribute is the same. A sample of the day is tried. MODEL_SECONDS=3600 goes on for as long, MODEL_SEED
 * draws the same again; MODEL_ALL=1, 2 or 3 tries every program of so many operations (2: half an hour, 3: days).
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Order, Program, Report } from '../fixtures/model-driver.js'
import type { Operation } from '../fixtures/model-operations.js'
import {
  randomProgram,
  shrunk,
  stepsCount,
  stepsProgram,
  withPauses,
} from '../fixtures/model-programs.js'
import { forkMortal } from '../fixtures/mortal.js'
import { TestMounts } from '../fixtures/mount.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses } from '../fixtures/servers.js'

const seed = Number(process.env.MODEL_SEED ?? Math.floor(Date.now() / 86_400_000))
const all = Number(process.env.MODEL_ALL ?? 0)
const seconds = Number(process.env.MODEL_SECONDS ?? (all > 0 ? 24 * 3600 : 36))
const batch = 48
const looksAtOnce = 200
/** A prime that divides no number of programs. */
const stride = 1_000_003
const failuresMax = 5
const patienceMs = 60_000
const driver = join(import.meta.dirname, '../fixtures/model-driver.js')

/** The process that works in the folders: what a mount serves must not be used by who waits for it. */
class Driver {
  readonly #child: ChildProcess

  constructor(t: Test) {
    this.#child = forkMortal(driver, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    t.teardown(() => this.#child.kill('SIGKILL'))
  }

  async run(order: Order): Promise<Report> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), patienceMs)
    try {
      return await new Promise((resolve, reject) => {
        this.#child.once('message', (report: Report) => resolve(report))
        this.#child.once('exit', () => reject(new Error('the driver was ended after a minute')))
        this.#child.send(order)
      })
    } finally {
      clearTimeout(timer)
      this.#child.removeAllListeners('message')
      this.#child.removeAllListeners('exit')
    }
  }
}

interface Pair {
  readonly mount: string
  readonly local: string
}

/** Runs the programs in both folders; the differences of each. */
async function differences(
  driver: Driver,
  { mount, local }: Pair,
  programs: readonly Program[],
  isThere = false,
): Promise<readonly (readonly string[])[]> {
  const here = await driver.run({ folder: mount, programs, pauses: true, isThere })
  const there = await driver.run({ folder: local, programs, pauses: false, isThere })
  return programs.map(({ operations }, index) =>
    operations.flatMap((operation, at) => {
      const mine = here[index]?.[at] ?? 'nothing'
      const wanted = there[index]?.[at] ?? 'nothing'
      if (mine === wanted) return []
      return [`${at}: ${operation.join(' ')}: ${mine}\ninstead of ${wanted}`]
    }),
  )
}

function* programsOf(random: Seeded): Generator<readonly Operation[]> {
  const endMs = Date.now() + (seconds * 1000) / 2
  if (all > 0) {
    // Far from each other, so that also a part of them has some of everything.
    const count = stepsCount(all)
    for (let number = 0; number < count && Date.now() < endMs; number += 1) {
      yield stepsProgram((number * stride) % count, all)
    }
    return
  }
  while (Date.now() < endMs) {
    const kind = random.below(8)
    if (kind === 0) yield randomProgram(random, 50)
    else {
      const length = kind < 3 ? 1 : kind < 6 ? 2 : 3
      const operations = stepsProgram(random.below(stepsCount(length)), length)
      yield random.below(3) > 0 ? operations : withPauses(operations, random, 1)
    }
  }
}

t.setTimeout((seconds * 3 + 240) * 1000)

const skip = existsSync('/dev/fuse') ? false : 'there is no /dev/fuse'

for (const [user, options] of [
  ['alice', []],
  ['bob', ['-o', 'dirsync']],
] as const) {
  const how = ['a mount', ...options].join(' ')
  t.test(`${how} and a local folder cannot be told apart`, { skip }, async (t) => {
    t.comment(`MODEL_SEED=${seed}`)
    const servers = await startServerProcesses(t)
    const mounts = new TestMounts(t, servers.config(user))
    const local = mounts.folder('local')
    const mount = await mounts.start('mnt', ...options)
    const driver = new Driver(t)
    const random = new Seeded(seed)
    const done: Program[] = []
    let failures = 0
    let attempts = 0

    const fail = async (operations: readonly Operation[], first: string): Promise<void> => {
      failures += 1
      const pair = { mount: mount.mountpoint, local }
      const tryOnce = async (shorter: readonly Operation[]): Promise<readonly string[]> => {
        attempts += 1
        const [found = []] = await differences(driver, pair, [
          { name: `try${attempts}`, operations: shorter },
        ])
        return found
      }
      const shortest = await shrunk(operations, async (one) => (await tryOnce(one)).length > 0)
      const again = (await tryOnce(shortest)).join('\n') || `only together with others: ${first}`
      t.fail(`program ${failures}`, {
        program: shortest.map((operation) => operation.join(' ')),
        difference: again,
      })
    }

    const runAll = async (waiting: readonly Program[], pair: Pair): Promise<void> => {
      const found = await differences(driver, pair, waiting)
      for (const [index, program] of waiting.entries()) {
        const [first] = found[index] ?? []
        if (first === undefined) done.push(program)
        else await fail(program.operations, first)
        if (failures >= failuresMax) return
      }
    }

    let waiting: Program[] = []
    let number = 0
    for (const operations of programsOf(random)) {
      number += 1
      // A thousand to a folder.
      const folder = `of${Math.floor(number / 1000)}`
      if (!existsSync(join(local, folder))) {
        mkdirSync(join(local, folder))
        await mount.out(`mkdir ${folder}`)
      }
      waiting.push({ name: join(folder, String(number)), operations })
      if (waiting.length < batch) continue
      await runAll(waiting, { mount: mount.mountpoint, local })
      waiting = []
      if (failures >= failuresMax) break
    }
    if (failures < failuresMax) await runAll(waiting, { mount: mount.mountpoint, local })
    t.ok(failures > 0 || done.length > 0)
    t.comment(`${number} programs`)

    // What the servers have is what the mount has shown.
    await mount.close()
    const { mountpoint } = await mounts.start('again')
    for (let at = 0; at < done.length; at += looksAtOnce) {
      const some = done.slice(at, at + looksAtOnce)
      const looks = some.map(({ name }): Program => ({ name, operations: [['look']] }))
      const found = await differences(driver, { mount: mountpoint, local }, looks, true)
      for (const [index, { operations }] of some.entries()) {
        const [difference] = found[index] ?? []
        if (difference === undefined) continue
        const program = operations.map((operation) => operation.join(' '))
        t.fail('it is stored as it was shown', { program, difference })
      }
    }
  })
}
