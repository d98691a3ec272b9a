/**
 * One program of the storm: writes, renames, deletes and reads the same names as all others, one name
 * that is its own, and names that only one may win. It judges what it sees itself, and tells its parent
 * at the end what it saw, what it won, and what its own file must be.
 */
import { constants } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import type { ClientConfig } from '../../src/config.js'
import { redirectNotices } from '../../src/log.js'
import { Seeded } from '../fixtures/seeded.js'
import { folderPlace, libraryPlace, type Place } from './place.js'

export interface Orders {
  readonly name: string
  readonly seed: number
  readonly ms: number
  /** A folder to work in, or how to reach the servers. */
  readonly folder?: string
  readonly config?: ClientConfig
}

export interface Findings {
  readonly name: string
  /** Violations that the worker has seen. */
  readonly violations: readonly string[]
  /** What the own file may be: numbers of writes, 0 for no file, -1 for an empty one. */
  readonly own: readonly number[]
  readonly won: readonly number[]
  readonly maybeWon: readonly number[]
  readonly done: Readonly<Record<string, number>>
  readonly failed: Readonly<Record<string, number>>
}

const lineBytes = 64
const emptyFile = -1
const sharedNames = 4
const contestMs = 250
/** What is said of a name that others took away or made at the same moment. */
const answers = new Set(['notFound', 'exists', 'ENOENT', 'EEXIST', 'stale', 'ESTALE'])

process.once('message', (orders: Orders) => {
  void work(orders).then((findings) => {
    process.send?.(findings)
    process.disconnect()
  })
})

async function work(orders: Orders): Promise<Findings> {
  redirectNotices(() => {})
  const { name, seed, ms, folder, config } = orders
  const place = config === undefined ? folderPlace(folder ?? '') : await libraryPlace(config)
  const worker = new Worker(name, place, new Seeded(seed))
  process.send?.('ready')
  const endMs = Date.now() + ms
  while (Date.now() < endMs) await worker.turn()
  await place.close()
  return worker.findings()
}

class Worker {
  readonly #name: string
  readonly #place: Place
  readonly #random: Seeded
  readonly #violations: string[] = []
  readonly #done: Record<string, number> = {}
  readonly #failed: Record<string, number> = {}
  readonly #won: number[] = []
  readonly #maybeWon: number[] = []
  #writes = 0
  #own = new Set([0])
  #contest = 0

  constructor(name: string, place: Place, random: Seeded) {
    this.#name = name
    this.#place = place
    this.#random = random
  }

  findings(): Findings {
    return {
      name: this.#name,
      violations: this.#violations,
      own: [...this.#own],
      won: this.#won,
      maybeWon: this.#maybeWon,
      done: this.#done,
      failed: this.#failed,
    }
  }

  async turn(): Promise<void> {
    const shared = (): string => `shared-${this.#random.below(sharedNames)}`
    const actions = [
      () => this.#attempt('put', () => this.#place.put(shared(), this.#content(shared()))),
      () => this.#attempt('rename', () => this.#place.rename(shared(), shared())),
      () => this.#attempt('remove', () => this.#place.remove(shared())),
      () => this.#look(shared()),
      () => this.#look(shared()),
      () => this.#writeOwn(),
      () => this.#removeOwn(),
      () => this.#lookAtOwn(),
      () => this.#compete(),
    ]
    await actions[this.#random.below(actions.length)]?.()
    await pause(this.#random.below(10))
  }

  /** Resolves with 'ok', the answer that was given, or undefined: nobody knows what was done. */
  async #attempt(what: string, work: () => Promise<unknown>): Promise<string | undefined> {
    try {
      await work()
      this.#done[what] = (this.#done[what] ?? 0) + 1
      return 'ok'
    } catch (thrown) {
      const { code: known, errno } = thrown as { code?: unknown; errno?: unknown }
      // Node has no name for it.
      const code = errno === -constants.errno.ESTALE ? 'ESTALE' : `${known ?? thrown}`
      if (answers.has(code)) return code
      this.#failed[`${what} ${code}`] = (this.#failed[`${what} ${code}`] ?? 0) + 1
      return undefined
    }
  }

  #content(about: string): Buffer {
    this.#writes += 1
    const line = `${this.#name} ${this.#writes} ${about}`.padEnd(lineBytes - 1)
    const sizes = [1, 100, 1500, 5000]
    return Buffer.from(`${line}\n`.repeat(sizes[this.#random.below(sizes.length)] ?? 1))
  }

  async #look(name: string): Promise<void> {
    let bytes: Buffer = Buffer.alloc(0)
    await this.#attempt('read', async () => {
      bytes = await this.#place.read(name)
    })
    const at = mixedAt(bytes)
    if (at !== undefined) this.#violations.push(`${name} is mixed at ${at} of ${bytes.length}`)
  }

  async #writeOwn(): Promise<void> {
    const bytes = this.#content('own')
    const number = this.#writes
    const outcome = await this.#attempt('own', () => this.#place.put(this.#ownName, bytes))
    if (outcome === 'ok') this.#own = new Set([number])
    else {
      this.#own.add(number)
      if (this.#own.has(0) && !this.#place.putIsWhole) this.#own.add(emptyFile)
    }
  }

  async #removeOwn(): Promise<void> {
    const outcome = await this.#attempt('removeOwn', () => this.#place.remove(this.#ownName))
    const isGone = outcome === 'notFound' || outcome === 'ENOENT'
    if (isGone && !this.#own.has(0)) this.#lost('is not there')
    if (outcome === 'ok' || isGone) this.#own = new Set([0])
    else this.#own.add(0)
  }

  async #lookAtOwn(): Promise<void> {
    let number = 0
    const outcome = await this.#attempt('readOwn', async () => {
      number = numberOf(await this.#place.read(this.#ownName))
    })
    if (outcome === undefined || outcome === 'stale' || outcome === 'ESTALE') return
    if (!this.#own.has(number)) this.#lost(`is ${number}`)
    // What was seen once is settled.
    this.#own = new Set([number])
  }

  #lost(what: string): void {
    this.#violations.push(`${this.#ownName} ${what}, not one of ${[...this.#own].join(', ')}`)
  }

  async #compete(): Promise<void> {
    const number = Math.floor(Date.now() / contestMs)
    if (number === this.#contest) return
    this.#contest = number
    const bytes = this.#content('won')
    const outcome = await this.#attempt('win', () => this.#place.create(`won-${number}`, bytes))
    if (outcome === 'ok') this.#won.push(number)
    if (outcome === undefined) this.#maybeWon.push(number)
  }

  get #ownName(): string {
    return `own-${this.#name}`
  }
}

/** Returns where `bytes` differ from the content of a single write; undefined when they do not. */
function mixedAt(bytes: Buffer): number | undefined {
  const line = bytes.subarray(0, lineBytes)
  for (let at = 0; at < bytes.length; at += lineBytes) {
    if (!bytes.subarray(at, at + lineBytes).equals(line)) return at
  }
  return undefined
}

/** Returns the number of the write that wrote `bytes`. */
export function numberOf(bytes: Buffer): number {
  if (bytes.length === 0) return emptyFile
  return Number(bytes.subarray(0, lineBytes).toString().split(' ')[1] ?? Number.NaN)
}
