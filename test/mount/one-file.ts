/**
 * Programs of random system calls on one file, in a mount and on ext4: bytes, size and results are the same; nothing
 * but zeros is outside of what SEEK_DATA finds, and what is a hole on ext4 is one here, and takes no room. A sample of the day is
 * tried. MODEL_SECONDS=3600 goes on for as long, MODEL_SEED draws the same again.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import t from 'tap'
import { limits } from '../../src/limits.js'
import type { Operation } from '../fixtures/model-operations.js'
import { shrunk } from '../fixtures/model-programs.js'
import { spawnMortal } from '../fixtures/mortal.js'
import { TestMounts } from '../fixtures/mount.js'
import { outcomeOf } from '../fixtures/outcome.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses } from '../fixtures/servers.js'

const seed = Number(process.env.MODEL_SEED ?? Math.floor(Date.now() / 86_400_000))
const seconds = Number(process.env.MODEL_SECONDS ?? 12)
const caller = resolve(import.meta.dirname, '../../../test/fixtures/one-file.py')
const callsOfProgram = 60
const programsAtOnce = 8
const failuresMax = 5
const blockBytes = 4096
/** Positions are below this, or as far from the end of the largest file. */
const windowBytes = 300_000

interface Program {
  readonly name: string
  readonly calls: readonly Operation[]
}

/** What a call of `look` tells. */
interface Look {
  readonly size: number
  readonly digests: readonly string[]
  /** Bytes that are not zero outside of the data. */
  readonly stray: number
  readonly data: readonly (readonly [at: number, end: number])[]
  readonly bytes: number
}

async function results(folder: string, programs: readonly Program[]): Promise<string[][]> {
  const child = spawnMortal('python3', [caller], { timeout: 120_000 })
  child.stdin?.end(JSON.stringify({ folder, programs }))
  const { out, problems } = await outcomeOf(child)
  if (problems !== '') throw new Error(problems)
  return JSON.parse(out) as string[][]
}

/** What is wrong with `mine` where ext4 says `wanted`, if anything is. */
function lookDifference(mine: Look, wanted: Look): string | undefined {
  if (mine.size !== wanted.size) return `${mine.size} bytes instead of ${wanted.size}`
  if (mine.digests.join() !== wanted.digests.join()) return 'other bytes'
  if (mine.stray > 0) return `${mine.stray} bytes of data in holes`
  const isData = ([at, end]: readonly [number, number]): boolean =>
    wanted.data.some(([from, to]) => from <= at && end <= roundUp(to))
  const invented = mine.data.find((range) => !isData(range))
  if (invented !== undefined) return `data at ${invented} where there is a hole`
  const dataBytes = mine.data.reduce((sum, [at, end]) => sum + end - at, 0)
  if (mine.bytes < dataBytes || mine.bytes >= dataBytes + blockBytes) {
    return `takes ${mine.bytes} bytes for ${dataBytes}`
  }
  return undefined
}

function difference(call: Operation, mine: string, wanted: string): string | undefined {
  if (call[0] !== 'look' || !mine.startsWith('{') || !wanted.startsWith('{')) {
    return mine === wanted ? undefined : `${mine}\ninstead of ${wanted}`
  }
  const found = lookDifference(JSON.parse(mine) as Look, JSON.parse(wanted) as Look)
  return found && `${found}\n${mine}\n${wanted}`
}

/** The first difference of each program. */
async function differences(
  mount: string,
  local: string,
  programs: readonly Program[],
): Promise<(string | undefined)[]> {
  const [here, there] = await Promise.all([results(mount, programs), results(local, programs)])
  return programs.map(({ calls }, index) => {
    for (const [at, call] of calls.entries()) {
      const mine = here[index]?.[at] ?? 'nothing'
      const found = difference(call, mine, there[index]?.[at] ?? 'nothing')
      if (found !== undefined) return `${at}: ${call.join(' ')}: ${found}`
    }
    return undefined
  })
}

// ---- programs -------------------------------------------------------------------------------------

function roundUp(length: number): number {
  return Math.ceil(length / blockBytes) * blockBytes
}

function one<T>(random: Seeded, of: readonly [T, ...T[]]): T {
  return of[random.below(of.length)] ?? of[0]
}

class Generator {
  readonly #random: Seeded
  /** Some programs have positions near the end of the largest file as well. */
  readonly #isLarge: boolean

  constructor(random: Seeded) {
    this.#random = random
    this.#isLarge = random.below(4) === 0
  }

  program(): Operation[] {
    const calls: Operation[] = []
    for (let count = 0; count < callsOfProgram; count += 1) {
      calls.push(this.#call())
      if (this.#random.below(3) === 0) calls.push(['look'])
    }
    return [...calls, ['look'], ['closeAll'], ['look']]
  }

  #position(): number {
    const random = this.#random
    const at = random.below(random.below(2) === 0 ? 20_000 : windowBytes)
    const near = random.below(2) === 0 ? at - (at % blockBytes) : at
    const isFar = this.#isLarge && random.below(3) === 0
    return isFar ? limits.fileBytesMax - windowBytes + near : near
  }

  /** Of a range from `at` on, which ends with the largest file. */
  #length(at: number): number {
    const length = 1 + this.#random.below(one(this.#random, [20, 5000, 100_000]))
    const near = this.#random.below(3) === 0 ? roundUp(length) : length
    return Math.min(near, limits.fileBytesMax - at)
  }

  #call(): Operation {
    const random = this.#random
    const [from, at] = [this.#position(), this.#position()]
    const length = this.#length(at)
    const blockAt = at - (at % blockBytes)
    const blocks = roundUp(length)
    const name = one(random, ['a', 'b'])
    const bytes = random.below(1_000_000_000)
    switch (random.below(24)) {
      case 0:
      case 1:
      case 2:
        return ['write', name, at, length, bytes]
      case 3:
        return ['write', 'sync', at, length, bytes]
      case 4:
      case 5:
        return ['write', 'direct', blockAt, blocks, bytes]
      case 6:
        return ['read', 'direct', blockAt, blocks]
      case 7:
      case 8:
        return ['read', name, at, length]
      case 9:
        return this.#isLarge ? ['sync', name] : ['append', length % 5000, bytes]
      case 10:
      case 11:
        return [one(random, ['truncate', 'truncatePath']), at]
      case 12:
      case 13:
      case 14:
        return ['fallocate', 'punch', at, random.below(8) === 0 ? 2 ** 39 : length]
      case 15:
      case 16:
        return ['fallocate', one(random, ['plain', 'keep', 'zero', 'zeroKeep']), at, length]
      case 17:
      case 18:
        return ['copy', name, one(random, ['a', 'b', 'sync']), from, at, length]
      case 19:
        return ['mapWrite', at, length, bytes, random.below(2)]
      case 20:
        return ['mapRead', at, length]
      case 21:
        return ['sync', name]
      case 22:
        return ['reopen', one(random, ['a', 'b', 'direct', 'append', 'sync'])]
      default:
        return ['closeAll']
    }
  }
}

const reasonToSkip = (): string | false => {
  if (!existsSync('/dev/fuse')) return 'there is no /dev/fuse'
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' })
  } catch {
    return 'python3 is not installed'
  }
  const type = execFileSync('stat', ['-f', '-c', '%T', tmpdir()]).toString().trim()
  return type !== 'ext2/ext3' && `the yardstick is ext4, and the folder is ${type}`
}

const skip = reasonToSkip()

t.setTimeout((seconds * 3 + 240) * 1000)

t.test('a file in a mount and one on ext4 cannot be told apart', { skip }, async (t) => {
  const servers = await startServerProcesses(t)
  const mounts = new TestMounts(t, servers.config())
  const local = mounts.folder('local')
  t.comment(`MODEL_SEED=${seed}`)
  const mount = await mounts.start('mnt')
  const { mountpoint } = mount
  const random = new Seeded(seed)
  const endMs = Date.now() + seconds * 1000
  const kept: Program[] = []
  let number = 0
  let failures = 0
  let attempts = 0

  const fail = async (calls: readonly Operation[], first: string): Promise<void> => {
    failures += 1
    const tryOnce = async (shorter: readonly Operation[]): Promise<string | undefined> => {
      attempts += 1
      const [found] = await differences(mountpoint, local, [
        { name: `try${attempts}`, calls: shorter },
      ])
      return found
    }
    const shortest = await shrunk(calls, async (some) => (await tryOnce(some)) !== undefined)
    const again = (await tryOnce(shortest)) ?? `not again: ${first}`
    t.fail(`program ${number}`, { calls: shortest.map((call) => call.join(' ')), again })
  }

  while (Date.now() < endMs && failures < failuresMax) {
    const programs = Array.from({ length: programsAtOnce }, (): Program => {
      number += 1
      return { name: `file${number}`, calls: new Generator(random).program() }
    })
    const found = await differences(mountpoint, local, programs)
    for (const [index, program] of programs.entries()) {
      const first = found[index]
      if (first === undefined) kept.push(program)
      else if (failures < failuresMax) await fail(program.calls, first)
    }
  }
  t.comment(`${number} programs`)

  // What the servers have is what the mount has shown.
  await mount.close()
  const again = await mounts.start('again')
  const looks = kept.map(({ name }): Program => ({ name, calls: [['look']] }))
  for (const [index, found] of (await differences(again.mountpoint, local, looks)).entries()) {
    if (found !== undefined) t.fail('it is stored as it was shown', { index, found })
  }
  t.ok(failures > 0 || kept.length > 0)
})
