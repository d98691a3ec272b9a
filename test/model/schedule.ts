/** One schedule: clients work while things fail, then everything is repaired, checked, and must work again. */
import { serverIndexes } from '../../src/wire/placement.js'
import { Client, type Step } from './client.js'
import { Context, type Counts } from './context.js'
import { Faults } from './faults.js'
import { fill } from './fill.js'
import { checkInvariants } from './invariants.js'
import { Liar } from './lies.js'
import { Network } from './network.js'
import type { Options } from './options.js'
import { repair } from './repair.js'
import { restore } from './restore.js'
import type { Rules } from './rules.js'
import { Server } from './server.js'
import { sweep } from './sweep.js'
import { aheadMax, clockError, serverCount, versionAt } from './vocabulary.js'
import { operate } from './workload.js'

const eventsMax = 400_000
const firstFaultAt = 50
/** After the last operation, until nothing is under way any more. */
const calmTime = 4000
const stepTimeMax = 6000
const longStepTimeMax = 60_000
const repairsMax = 6
const operationsMin = 6
const sweepsMax = 3

export interface Verdict {
  readonly violations: readonly string[]
  readonly counts: Counts
  /** How many events the schedule had. */
  readonly events: number
  readonly trace: readonly string[]
}

/** Runs the schedule of a seed. The same seed, rules and options give the same verdict. */
export function runSchedule(seed: number, rules: Rules, options: Options): Verdict {
  return new Schedule(seed, rules, options).run()
}

class Schedule {
  readonly #context: Context
  readonly #servers: readonly Server[]
  readonly #workers: readonly Client[]
  readonly #repairers: readonly Client[]
  /** Repairs at the end, and works to see that it is possible. */
  readonly #lastClient: Client
  readonly #faults: Faults
  #events = 0

  constructor(seed: number, rules: Rules, options: Options) {
    this.#context = new Context(seed, rules, options)
    this.#servers = serverIndexes.map((index) => new Server(index, this.#context))
    if (options.clocks) this.#putFutureIn()
    if (options.lies) this.#makeLiar()
    const { clients, repairers } = options
    const network = new Network(this.#context, this.#servers, clients + repairers + 1)
    const make = (index: number) => new Client(index, network, this.#context)
    const all = Array.from({ length: clients + repairers }, (_, index) => make(index))
    this.#lastClient = make(all.length)
    this.#workers = all.slice(0, clients)
    this.#repairers = all.slice(clients)
    this.#faults = new Faults(network, all, (client) => this.#start(client))
  }

  /** One server lies, until all faults end. */
  #makeLiar(): void {
    const liar = this.#servers[this.#context.chance.below(serverCount)]
    if (!liar) return
    liar.liar = new Liar(this.#context)
    this.#context.liar = liar.index
    this.#context.trace?.(`LIAR s${liar.index}`)
  }

  /** While a server lies the three others go on; then its machine is replaced. */
  #replaceLiar(): void {
    const liar = this.#servers.find(({ liar }) => liar)
    if (!liar) return
    const isBlank = this.#blankServer() !== undefined
    if (this.#context.options.lies === 1 && !isBlank) this.#mustWork('one lies')
    liar.liar = undefined
    this.#context.liar = undefined
    if (!isBlank) liar.wipe()
  }

  /** One server's clock is off; a register, and on some seeds a fence, are from the far future. */
  #putFutureIn(): void {
    const { chance, history } = this.#context
    const wrong = this.#servers[chance.below(serverCount)]
    const offset = chance.happens(0.5) ? clockError : -clockError
    if (wrong) wrong.clockOffset = offset
    const id = versionAt(3 * clockError, 0)
    const preconditions = new Map([['k0', { version: 0, isAbsent: true }]])
    history.bodies.set(id, { writes: new Map([['k0', 'old']]), preconditions, mustBeEmpty: [] })
    history.committed.set(id, 0)
    const fence = versionAt(2 * clockError, 0)
    const areAllFar = chance.happens(0.3)
    const isOneFar = !areAllFar && chance.happens(0.3)
    for (const server of this.#servers) {
      server.state.registers.set('k0', { version: id, value: 'old' })
      if (areAllFar || (isOneFar && server === wrong)) server.state.fence = fence
    }
  }

  run(): Verdict {
    for (const client of [...this.#workers, ...this.#repairers]) this.#start(client)
    this.#faults.begin(firstFaultAt)
    this.#runUntil(this.#context.options.endsAt + calmTime)
    this.#becomeQuiet()
    this.#runUntil(this.#context.events.now + calmTime)
    this.#repairAll()
    this.#replaceLiar()
    this.#repairAll()
    const { history, counts, traced } = this.#context
    if (this.#blankServer()) history.noteViolation('fill never finished')
    checkInvariants(this.#context, this.#servers, 'end')
    if (history.violations.length === 0) this.#checkLiveness()
    return { violations: history.violations, counts, events: this.#events, trace: traced }
  }

  #start(client: Client): void {
    if (this.#workers.includes(client)) client.run(this.#work(client))
    else client.run(this.#maintain(client))
  }

  /** A client that reads and writes, and now and then looks after the servers. */
  *#work(client: Client): Step {
    const { chance, options, events } = this.#context
    yield* client.sleep(chance.below(200))
    for (;;) {
      yield* operate(client)
      yield* client.sleep(chance.below(options.gap))
      if (events.now > options.endsAt) return
      if (!chance.happens(0.12)) continue
      const blank = this.#blankServer()
      if (blank) yield* fill(client, blank.index)
      else if (chance.happens(0.6)) yield* repair(client)
      else yield* sweep(client)
    }
  }

  /** A client that only looks after the servers. */
  *#maintain(client: Client): Step {
    const { chance, options, events } = this.#context
    for (;;) {
      yield* client.sleep(chance.below(options.repairGap))
      if (events.now > options.endsAt) return
      const blank = this.#blankServer()
      if (blank && chance.happens(0.8)) yield* fill(client, blank.index)
      else if (chance.happens(0.5)) {
        if (options.rot) yield* restore(client)
        yield* repair(client)
      } else yield* sweep(client)
    }
  }

  #blankServer(): Server | undefined {
    return this.#servers.find(({ state }) => state.isBlank)
  }

  #runUntil(time: number): void {
    const { events, history } = this.#context
    while (events.nextTime !== undefined && events.nextTime <= time) {
      events.runNext()
      this.#events += 1
      if (this.#events > eventsMax) {
        history.noteViolation('no progress')
        return
      }
    }
    events.waitUntil(time)
  }

  /** From now on nothing fails. */
  #becomeQuiet(): void {
    this.#context.isQuiet = true
    for (const server of this.#servers) {
      server.clockOffset = 0
      server.isUp = true
      server.pausedUntil = 0
    }
    const clients = [...this.#workers, ...this.#repairers, this.#lastClient]
    for (const client of clients) client.pausedUntil = 0
  }

  #repairAll(): void {
    const client = this.#lastClient
    for (let round = 0; round < repairsMax; round += 1) {
      const blank = this.#blankServer()
      if (blank) this.#finish(fill(client, blank.index))
      if (this.#context.options.rot) this.#finish(restore(client))
      this.#finish(repair(client, true), longStepTimeMax)
    }
  }

  /** The result of a step of the last client; nothing if it does not end in time. */
  #finish<Result>(step: Step<Result>, timeMax = stepTimeMax): Result | undefined {
    const { events } = this.#context
    let result: Result | undefined
    let isDone = false
    this.#lastClient.run(step, (value) => {
      result = value
      isDone = true
    })
    const until = events.now + timeMax
    while (!isDone && events.now < until && events.runNext());
    if (!isDone) this.#lastClient.abandon()
    return result
  }

  /** With one server away, or blank, everything works. */
  #checkLiveness(): void {
    const { chance } = this.#context
    const firstIndex = chance.below(serverCount)
    const first = this.#servers[firstIndex]
    const second = this.#servers[(firstIndex + 1 + chance.below(serverCount - 1)) % serverCount]
    if (!first || !second) return
    first.isUp = false
    this.#mustWork('one down')
    first.isUp = true
    second.isUp = false
    this.#mustWork('one down, one stale')
    second.isUp = true
    this.#repairAll()
    first.wipe()
    this.#mustWork('one blank')
    this.#repairAll()
    this.#finish(sweep(this.#lastClient, true), longStepTimeMax)
    this.#mustWork('after sweep')
    this.#repairAll()
    if (this.#context.options.clocks) this.#checkSweeps(first)
    checkInvariants(this.#context, this.#servers, 'final')
  }

  /** A single clock that is behind keeps nobody from sweeping. */
  #checkSweeps(behind: Server): void {
    const { events, history } = this.#context
    this.#runUntil(events.now + 3 * aheadMax)
    behind.clockOffset = -clockError
    const startedAt = versionAt(events.now, 0)
    for (let round = 0; round < sweepsMax; round += 1) {
      this.#finish(repair(this.#lastClient, true), longStepTimeMax)
      this.#finish(sweep(this.#lastClient, true), longStepTimeMax)
    }
    if (this.#servers.some(({ state }) => state.floor < startedAt)) {
      history.noteViolation('liveness: no sweep while one clock is behind')
    }
    behind.clockOffset = 0
    this.#repairAll()
  }

  #mustWork(when: string): void {
    let successes = 0
    let last = ''
    for (let attempt = 0; attempt < operationsMin; attempt += 1) {
      last = this.#finish(operate(this.#lastClient, true)) ?? 'stuck'
      if (last === 'ok') successes += 1
    }
    if (successes === operationsMin) return
    const text = `liveness ${when}: ${successes}/${operationsMin} (${last})`
    this.#context.history.noteViolation(text)
  }
}
