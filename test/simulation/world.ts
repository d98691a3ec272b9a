/**
 * One run: four servers and several clients of the program itself, in a world of simulated time,
 * network and chance, with faults; then everything is mended, looked at, and judged.
 */
import { AssertionError } from 'node:assert'
import { pbkdf2Sync } from 'node:crypto'
import type { ClientConfig } from '../../src/config.js'
import { Client } from '../../src/dfc/client.js'
import type { JournalEntry } from '../../src/dfc/namespace/journal.js'
import { recordOf } from '../../src/dfc/namespace/kept.js'
import { memoryStorage, type Storage } from '../../src/dfs/account/storage.js'
import type { StoredPiece } from '../../src/dfs/pieces/piece-store.js'
import { Server } from '../../src/dfs/server.js'
import type { Users } from '../../src/dfs/users/users.js'
import { asDfsError, DfsError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { redirectNotices } from '../../src/log.js'
import { homeMask } from '../../src/wire/placement.js'
import {
  decodeInode,
  type Key,
  parseKey,
  rootIno,
  type Transaction,
  trashIno,
} from '../../src/wire/records.js'
import { makeVerifier, scramIterations } from '../../src/wire/scram.js'
import { msOfVersion, type Version } from '../../src/wire/version.js'
import { Seeded } from '../fixtures/seeded.js'
import { Actor, type Company, type Favourite } from './actor.js'
import { between, chance, fork, pick, weighted } from './chance.js'
import { check } from './checker.js'
import { Contents } from './contents.js'
import { type DiskTrouble, SimulatedDisk } from './disks.js'
import { Faults, type Profile } from './faults.js'
import { History, type Operation } from './history.js'
import { Impairments } from './impairments.js'
import { Liar } from './liar.js'
import { SimulatedNetwork } from './network.js'
import { beginMs, Participant } from './participant.js'
import { Machine } from './promises.js'
import { Scheduler } from './scheduler.js'
import { currentOperation, Tap } from './tap.js'

/**
 * What a run is most about. `ballots`: many clients, few names, and commits that reach two servers.
 * `repairs`: disks are lost and everything is swept as soon as it can be. `leases`: one client, and others
 * that come for a moment. `disks`: disks that cannot be read or written for a while. `lies`: one server lies until all
 * faults end, and nothing else fails but clients.
 */
export const focuses = ['everything', 'ballots', 'repairs', 'leases', 'disks', 'lies'] as const
export type Focus = (typeof focuses)[number]

/** Prefix of the names of clients that come for a moment only. */
const visitor = 'v'

/** The frame of a run, drawn from its seed. */
export interface Plan {
  readonly profile: Profile
  readonly focus: Focus
  readonly clientCount: number
  /** Users of one client at the same time. */
  readonly laneCount: number
  readonly operationCount: number
  readonly timeoutMs: number
  readonly delayMsMax: number
  readonly faultGapMs: number
  readonly thinkMsMax: number
  readonly skewMsMax: number
  /** Clients, and one server until all faults end, have clocks that are off by minutes or days. */
  readonly hasWrongClocks: boolean
  /** Clients repair in the background, as mounts do, and now and then when asked. */
  readonly hasKeepers: boolean
  readonly sweepAgeMs: number
  /** How likely a commit is ambushed. */
  readonly ambushProbability: number
  /** The fewer, the more they collide. */
  readonly nameCount: number
  /** The server whose disk changes what it stores, or -1. */
  readonly rottingServer: number
  /** See Impairments. */
  readonly graceMs: number
  /** For how long what is removed or replaced is kept; 0 for not at all. */
  readonly trashMs: number
}

export interface Outcome {
  readonly seed: number
  readonly plan: Plan
  readonly violations: readonly string[]
  /** Hash of everything that happened. */
  readonly hash: string
  readonly lines: readonly string[]
  readonly counts: Readonly<Record<string, number>>
}

interface RunningServer {
  readonly participant: Participant
  readonly server: Server
}

export interface RunningClient {
  readonly index: number
  readonly participant: Participant
  client: Client | undefined
  /** Its users that have not ended. */
  lanes: number
  actor?: Actor
}

const user = 'alice'
const password = 'secret'
const firstPort = 10_001
const serverNames = ['s1', 's2', 's3', 's4']
/** The time within which the mount promises that every operation ends. */
const operationMsMax = 150_000
const { least: rounds } = scramIterations
const healsMax = 4
const ambushPairMs = 20
/** How many of the seeds keep what is removed, and for how long. */
const trashShare = 0.3
const trashTimesMs = [500, 5_000, 3_600_000]
/** One seed of so many is about lies, if no focus was asked for. */
const liesEach = 8

const verifiers = await Promise.all(
  serverNames.map((_, index) => makeVerifier(password, Buffer.alloc(16, index), rounds)),
)
const usersOf = ({ trashMs }: Plan): Users => ({
  find: async (name, position) => (name === user ? verifiers[position] : undefined),
  knows: (name) => name === user,
  roundCounts: [rounds],
  isCurrent: () => true,
  hasEnded: () => false,
  quotaBytes: () => undefined,
  trashMs: () => trashMs,
  onChange: () => {},
})
/** Each key is derived once, since nothing in the simulated world may take real time. */
const keys = new Map<string, Buffer>()

function derivedKey(text: string, salt: Buffer, iterations: number): Buffer {
  const name = salt.toString('hex')
  const key = keys.get(name) ?? pbkdf2Sync(text, salt, iterations, 32, 'sha256')
  keys.set(name, key)
  return key
}

/**
 * Runs `seed`; with `isTraced` the outcome tells everything that happened. `focus` takes the place of
 * the one that the seed draws.
 */
export async function runSeed(seed: number, isTraced = false, focus?: Focus): Promise<Outcome> {
  const world = new World(seed, isTraced, focus)
  const onRejection = (thrown: unknown): void => {
    world.history.violation(`unhandled rejection: ${(thrown as Error)?.stack ?? thrown}`)
  }
  process.on('unhandledRejection', onRejection)
  redirectNotices((line) => world.noticed(line.slice(line.indexOf(' ') + 1)))
  try {
    return await world.run()
  } catch (thrown) {
    if (!(thrown instanceof AssertionError || thrown instanceof DfsError)) throw thrown
    world.history.violation(`assertion: ${thrown.stack ?? thrown.message}`)
    return world.outcome()
  } finally {
    redirectNotices(() => {})
    process.off('unhandledRejection', onRejection)
  }
}

export class World {
  readonly plan: Plan
  readonly scheduler = new Scheduler()
  readonly history: History
  readonly #seed: number
  readonly #random: Seeded
  readonly #network: SimulatedNetwork
  readonly #tap: Tap
  readonly #contents = new Contents()
  readonly #impairments: Impairments
  readonly #disks: Participant[]
  readonly #storages: Storage[]
  /** The simulated disk between each server and its storage. */
  readonly #troubled = serverNames.map(() => new SimulatedDisk())
  readonly #servers: (RunningServer | undefined)[] = []
  readonly #clients: (RunningClient | undefined)[] = []
  /** The machine on which each of the clients runs, and runs again after it has crashed. */
  readonly #machines: Machine[] = []
  /** What the client that crashed on each machine had answered. */
  readonly #inherited: (readonly Operation[])[] = []
  /** When clients crashed, by their names. */
  readonly #crashedMs = new Map<string, number>()
  readonly #counts: Record<string, number> = {}
  readonly #lost = new Set<string>()
  /** The servers that missed the last commit that was ambushed. */
  #missed: readonly number[] = []
  /** A client that will send a commit once more, and which servers are not to get it then either. */
  #awaited: { readonly name: string; readonly deaf: readonly number[] } | undefined
  /** How often a client may still die while it stores what was refused. */
  #ambushesLeft = 5
  #ambushed: { readonly name: string; readonly atMs: number } | undefined
  #clientNumber = 0
  #visitNumber = 0
  #operationsLeft: number
  #lanesRunning = 0
  #wipes = 0
  readonly #wrongServer: number
  #wrongUntil: ((untilMs: number) => void) | undefined
  readonly #liar: Liar
  readonly #chanceOfLogs: Seeded
  readonly #chanceOfPower: Seeded
  /** Whether machines of clients lose their power in this run. */
  readonly #losesPower: boolean
  readonly #liarName: string | undefined
  #isOver = false
  #isClosed = false
  #isHealed = false

  constructor(seed: number, isTraced: boolean, focus?: Focus) {
    this.#seed = seed
    this.#random = new Seeded(seed)
    const plan = planOf(fork(this.#random), focus, seed % liesEach === 1)
    // With chance of its own, so that runs without it are as they were.
    const chanceOfTrash = new Seeded(seed ^ 0x7245)
    const isKeeping = chance(chanceOfTrash, trashShare)
    this.plan = { ...plan, trashMs: isKeeping ? pick(chanceOfTrash, trashTimesMs) : 0 }
    const nowMs = (): number => this.scheduler.nowMs
    this.history = new History(nowMs, isTraced)
    this.#tap = new Tap({
      nowMs,
      violation: (text) => this.history.violation(text),
      onCommit: (client, isAgain, id, body) => {
        if (isAgain) this.#ambushAgain(client)
        else this.#ambush(client)
        this.#ambushByItself(client, id, body)
      },
      onInstall: (client, server, keys) => this.#overtake(client, server, keys),
      trace: isTraced ? (line) => this.history.line(line) : undefined,
    })
    this.#network = new SimulatedNetwork(this.scheduler, fork(this.#random), {
      delayMsMax: this.plan.delayMsMax,
      listen: (client, server, isDetour) => this.#tap.listen(client, server, isDetour),
      arrived: (end, bytes) => this.#arrived(end, bytes),
      lies: (server) => (server === this.#liarName ? this.#liesOf() : undefined),
    })
    this.#impairments = new Impairments(this.plan.graceMs)
    this.#disks = serverNames.map((name) => this.#participant(`${name} disk`))
    this.#storages = this.#disks.map((disk) => memoryStorage(disk.random, disk.clock))
    this.#operationsLeft = this.plan.operationCount
    // With chance of its own, so that runs without it are as they were.
    this.#chanceOfLogs = new Seeded(seed ^ 0x10c5)
    this.#chanceOfPower = new Seeded(seed ^ 0x90e5)
    this.#losesPower = this.plan.focus === 'leases' && chance(this.#chanceOfPower, 0.25)
    const chanceOfLies = new Seeded(~seed)
    this.#liar = new Liar(chanceOfLies, () => beginMs + nowMs())
    const liar = chanceOfLies.below(serverNames.length)
    this.#liarName = this.plan.focus === 'lies' ? serverNames[liar] : undefined
    this.#wrongServer = this.plan.hasWrongClocks ? this.#random.below(serverNames.length) : -1
  }

  get clients(): readonly RunningClient[] {
    return this.#clients.flatMap((client) => client ?? [])
  }

  get runningServers(): readonly number[] {
    return [...this.#servers.keys()].filter((index) => this.#servers[index] !== undefined)
  }

  /** A server begins anew and has not been filled yet. */
  get hasBlank(): boolean {
    return serverNames.some((_, index) => this.#isBlank(index))
  }

  /** Some second copy of a piece is not where it belongs: the next lost disk may take the first. */
  get #lacksCopies(): boolean {
    return this.#storages.some((storage, server) => {
      const { index } = storage.openAccount(user)
      return index.segments
        .after('', true, Number.MAX_SAFE_INTEGER)
        .some(({ segment: { id, md5, length } }) => {
          return (homeMask(server, length, md5) & ~index.pieces.held(id)) !== 0
        })
    })
  }

  get #mayWipe(): boolean {
    if (!this.plan.hasKeepers || this.plan.rottingServer >= 0 || this.hasBlank) return false
    return this.#wipes === 0 || !this.#lacksCopies
  }

  #isBlank(index: number): boolean {
    const storage = this.#storages[index]
    return storage?.openAccount(user).index.state.get('state') !== 'voting'
  }

  /** The answers of the lying server are changed until all faults end. */
  #liesOf(): ReturnType<Liar['listen']> {
    const lies = this.#liar.listen()
    return {
      request: (bytes) => lies.request(bytes),
      reply: (bytes) => (this.#isOver || this.#network.isCalm ? bytes : lies.reply(bytes)),
    }
  }

  noticed(line: string): void {
    this.history.line(`notice: ${line}`)
    if (/was answered and then discarded/.test(line)) this.#add('givenUp')
    if (/^FAULT|^\w+: \w+ failed: /.test(line)) this.history.violation(line)
  }

  async run(): Promise<Outcome> {
    const { plan } = this
    this.history.note(`seed ${this.#seed} ${JSON.stringify(plan)}`)
    for (const index of serverNames.keys()) await this.#startServer(index)
    this.#network.isCalm = true
    await this.#finish('the first client', this.#startClient(0))
    this.#network.isCalm = false
    for (let index = 1; index < plan.clientCount; index += 1) void this.#startClient(index)
    if (plan.focus === 'leases') this.#visitLater()
    const faults = new Faults(this, fork(this.#random), plan.profile)
    faults.start()
    await this.scheduler.run(() => this.#operationsLeft <= 0 || this.scheduler.nowMs > 120_000)
    faults.stop()
    this.#mend()
    await this.#drain()
    await this.#finish('the audit', this.#audit())
    this.#judge()
    this.#close()
    return this.outcome()
  }

  /** The outcome of the run until now. */
  outcome(): Outcome {
    return {
      seed: this.#seed,
      plan: this.plan,
      violations: this.history.violations,
      hash: this.history.hash,
      lines: this.history.lines,
      counts: {
        ...this.#counts,
        lies: this.#liar.count,
        events: this.scheduler.eventCount,
        messages: this.#tap.messageCount,
        operations: this.history.operations.length,
        transactions: this.#tap.transactions.size,
        answeredEarly: Object.values(this.#machines).flatMap(({ promises }) => promises).length,
      },
    }
  }

  // -- faults ------------------------------------------------------------------------------------

  crashServer(index: number, durationMs: number, isSilent: boolean): void {
    const running = this.#servers[index]
    if (running === undefined) return
    this.#count('crash', `${serverNames[index]} ${durationMs} ms${isSilent ? ' silent' : ''}`)
    this.#servers[index] = undefined
    running.participant.kill()
    this.#network.vanish(running.participant, isSilent)
    this.#storages[index]?.openAccount(user).index.rollBack()
    const end = this.#impairments.begin(index, this.scheduler.nowMs)
    this.scheduler.after(durationMs, () => {
      end(this.scheduler.nowMs)
      void this.#startServer(index)
    })
  }

  stopServer(index: number, durationMs: number): void {
    const running = this.#servers[index]
    if (running === undefined || running.participant.isStopped) return
    this.#count('stop', `${serverNames[index]} ${durationMs} ms`)
    running.participant.stop()
    const end = this.#impairments.begin(index, this.scheduler.nowMs)
    this.scheduler.after(durationMs, () => {
      end(this.scheduler.nowMs)
      running.participant.continue()
    })
  }

  block(client: RunningClient, index: number, durationMs: number): void {
    const running = this.#servers[index]
    if (running === undefined) return
    const now = this.scheduler.nowMs
    const { name } = client.participant
    this.#count('block', `${name} ${serverNames[index]} ${durationMs} ms`)
    const until = Math.max(
      now + durationMs,
      this.#network.blockedUntil(client.participant, running.participant),
    )
    this.#network.block(client.participant, running.participant, until)
    this.#impairments.begin(index, now, name)(until)
  }

  /** Drops the server's answers to a client for `durationMs`. */
  mute(client: RunningClient, index: number, durationMs: number): void {
    const running = this.#servers[index]
    if (running === undefined) return
    const until = this.scheduler.nowMs + durationMs
    const { name } = client.participant
    this.#count('mute', `${name} ${serverNames[index]} ${durationMs} ms`)
    this.#network.mute(running.participant, client.participant, until)
    this.#impairments.begin(index, this.scheduler.nowMs, name)(until)
  }

  /** Breaks the connection; `isTotal`: nothing that is on its way arrives. */
  reset(client: RunningClient, index: number, isTotal = false): void {
    const running = this.#servers[index]
    if (running === undefined) return
    const { name } = client.participant
    this.#count('reset', `${name} ${serverNames[index]}`)
    this.#network.reset(client.participant, running.participant, isTotal)
    this.#impairments.begin(index, this.scheduler.nowMs, name)(this.scheduler.nowMs)
  }

  /** What a client says to a server reaches another one, whose account says which server it is. */
  detour(client: RunningClient, index: number, other: number, durationMs: number): void {
    if (index === other || this.hasBlank || this.#servers[index] === undefined) return
    const untilMs = this.scheduler.nowMs + durationMs
    const { name } = client.participant
    this.#count('detour', `${name} ${serverNames[index]} ${serverNames[other]} ${durationMs} ms`)
    this.#network.detour(client.participant, firstPort + index, {
      port: firstPort + other,
      untilMs,
    })
    this.reset(client, index)
    this.#impairments.begin(index, this.scheduler.nowMs, name)(untilMs)
  }

  /** A server that lies is one too many as soon as another one is in trouble, and alone makes nothing fail. */
  #impairedServers(client: string, fromMs: number, toMs: number): number {
    const servers = this.#impairments.servers(client, fromMs, toMs)
    if (this.#liarName !== undefined && servers.size > 0) {
      servers.add(serverNames.indexOf(this.#liarName))
    }
    return servers.size
  }

  /** A server comes back with a new disk, at most one at a time. */
  wipeServer(index: number, durationMs: number): void {
    const disk = this.#disks[index]
    const old = this.#storages[index]
    if (!this.#mayWipe || this.#servers[index] === undefined) return
    // It fails in another way.
    if (serverNames[index] === this.#liarName) return
    if (disk === undefined || old === undefined) return
    this.#count('wipe', `${serverNames[index]}`)
    // An account that is new binds nothing: only a server that is known for its key is safe then.
    this.#network.endDetours()
    this.#wipes += 1
    this.crashServer(index, durationMs, false)
    old.openAccount(user).index.close()
    this.#storages[index] = memoryStorage(disk.random, disk.clock)
    const end = this.#impairments.begin(index, this.scheduler.nowMs)
    const look = (): void => {
      // Other clients learn that it was filled when they look at it the next time.
      if (!this.#isBlank(index)) end(this.scheduler.nowMs + limits.repairRetryMs)
      else if (!this.#isClosed) this.scheduler.after(100, look)
    }
    look()
  }

  /** The disk of a server, running or not, fails, and has everything afterwards that it had. */
  troubleDisk(index: number, trouble: DiskTrouble, durationMs: number): void {
    const disk = this.#troubled[index]
    if (disk === undefined) return
    this.#count('diskTrouble', `${serverNames[index]} ${trouble} ${durationMs} ms`)
    const endTrouble = disk.begin(trouble)
    const end = this.#impairments.begin(index, this.scheduler.nowMs)
    this.scheduler.after(durationMs, () => {
      endTrouble()
      // It tries again every few seconds.
      end(this.scheduler.nowMs + limits.repairRetryMs)
    })
  }

  /** A piece changes on the disk of one server, always the same, in runs in which no disk is lost. */
  async rot(random: Seeded): Promise<void> {
    const index = this.plan.rottingServer
    const pieces = this.#storages[index]?.openAccount(user).pieces
    if (pieces === undefined) return
    const stored: StoredPiece[] = []
    for await (const piece of pieces.list()) stored.push(piece)
    if (stored.length === 0) return
    const name = pick(random, stored)
    const { bytes } = await pieces.read(name, 0, name.bytes)
    const at = random.below(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    pieces.put(name, bytes)
    this.#count('rot', `${serverNames[index]} ${name.segment} ${name.piece}`)
    this.#impairments.begin(index, this.scheduler.nowMs)
  }

  crashClient(index: number, isSilent: boolean): void {
    const running = this.#clients[index]
    if (running === undefined) return
    const { name } = running.participant
    this.#count('clientCrash', `${name}${isSilent ? ' silent' : ''}`)
    this.#clients[index] = undefined
    running.participant.kill()
    const tornAt = this.#chanceOfLogs.below(1000) / 1000
    this.#machine(index).crash(chance(this.#random, 0.3) ? tornAt : undefined)
    this.#crashedMs.set(name, this.scheduler.nowMs)
    this.#inherited[index] = running.actor?.answered ?? this.#inherited[index] ?? []
    if (this.#losesPower && chance(this.#chanceOfPower, 0.5)) this.#losePower(index)
    this.#network.vanish(running.participant, isSilent)
    for (const operation of this.history.operations) {
      if (operation.client.split('.')[0] === name && operation.outcome === 'open') {
        this.history.end(operation, 'lost')
        operation.endMs = Number.POSITIVE_INFINITY
      }
    }
    this.#lanesRunning -= running.lanes
    this.scheduler.after(between(this.#random, 1, 100), () => {
      if (this.#isOver) return
      if (name.startsWith(visitor)) this.#visitLater()
      else void this.#startClient(index)
    })
  }

  /** Of what a client had answered the last is in no journal any more. It may be stored, now or later, or not. */
  #losePower(index: number): void {
    const lost = this.#machine(index).losePower(between(this.#chanceOfPower, 0, 3))
    this.#count('power', `${lost.length} changes`)
    for (const operation of lost) {
      this.history.end(operation, 'lost')
      operation.endMs = Number.POSITIVE_INFINITY
    }
    this.#inherited[index] = this.#inherited[index]?.filter((one) => !lost.includes(one)) ?? []
  }

  /**
   * A commit is on its way: two servers do not get it, its client may not live to know, and others
   * cannot reach all servers. The next one may be just the other way round.
   */
  #ambush(name: string): void {
    const random = this.#random
    const running = this.clients.find(({ participant }) => participant.name === name)
    if (running?.client === undefined || this.#isOver) return
    const now = this.scheduler.nowMs
    // Just after another client's: the two may have met and now split the servers between them.
    const isSecond = this.#ambushed !== undefined && this.#ambushed.name !== name
    const isClose = isSecond && now - (this.#ambushed?.atMs ?? 0) < ambushPairMs
    if (!isClose && !chance(random, this.plan.ambushProbability)) return
    this.#ambushed = isClose ? undefined : { name, atMs: now }
    if (this.plan.focus === 'repairs' && this.runningServers.length === 4 && this.#mayWipe) {
      this.#ambushWithDisk(running)
      return
    }
    const [down, ...others] = serverNames.flatMap((_, at) => (this.#servers[at] ? [] : [at]))
    if (!isClose && down !== undefined && others.length === 0) {
      this.#ambushReturn(running, down)
      return
    }
    if (!isClose && chance(random, 0.2)) {
      this.#ambushUnheard(running)
      return
    }
    const first = random.below(4)
    const unhurt = [...serverNames.keys()].filter((index) => !this.#missed.includes(index))
    const missed =
      isClose || chance(random, 0.5) ? unhurt : [first, (first + between(random, 1, 3)) % 4]
    this.#missed = missed.slice(0, 2)
    this.scheduler.after(0, () => {
      for (const index of this.#missed) this.reset(running, index, true)
    })
    if (chance(random, 0.6)) {
      for (const client of this.clients) {
        if (client !== running) this.block(client, random.below(4), this.plan.timeoutMs * 2)
      }
    }
    if (chance(random, 0.3)) return
    this.scheduler.after(between(random, 0, 6), () => {
      if (this.#clients[running.index] === running) this.crashClient(running.index, false)
    })
  }

  /**
   * A client is about to answer a change that is not stored: soon it is dead, or has lost a server, or cannot reach
   * two, or none for longer than its leases last, and others are let in.
   */
  #ambushAnswer(name: string, { body }: JournalEntry): void {
    const random = this.#chanceOfLogs
    const running = this.clients.find(({ participant }) => participant.name === name)
    if (running === undefined || this.#isOver || this.plan.focus !== 'leases') return
    if (!chance(random, 0.06)) return
    const what = weighted(random, { crash: 3, reset: 2, pair: 2, all: 3 })
    this.#count('answerAmbush', `${name} ${what}`)
    if (what === 'crash') {
      this.scheduler.after(random.below(40), () => {
        if (!this.#isOver && this.#clients[running.index] === running) {
          this.crashClient(running.index, false)
        }
      })
      return
    }
    const first = random.below(4)
    const delayMs = random.below(15)
    if (what === 'reset') {
      this.scheduler.after(delayMs, () => this.reset(running, first))
      return
    }
    const pair = [first, (first + between(random, 1, 3)) % 4]
    if (what === 'all' && this.#clients[1] === undefined) this.#visitIn(300, favouriteIn(body))
    for (const index of what === 'all' ? serverNames.keys() : pair) {
      const durationMs = between(random, limits.leaseMs, 3 * limits.leaseMs)
      this.scheduler.after(delayMs, () => this.block(running, index, durationMs))
    }
  }

  /** A client stores what was refused change by change: soon it is dead, and one of them is stored. */
  #ambushByItself(name: string, id: Version, body: Transaction): void {
    const random = this.#chanceOfLogs
    const running = this.clients.find(({ participant }) => participant.name === name)
    if (running === undefined || this.#isOver || this.plan.focus !== 'leases') return
    if (this.#machines[running.index]?.isByItself(id, body) !== true) return
    // With more of them no client gets to the end of a journal within the life of a tombstone.
    if (this.#ambushesLeft === 0 || !chance(random, 0.1)) return
    this.#ambushesLeft -= 1
    this.#count('byItself', name)
    this.scheduler.after(between(random, 5, 40), () => {
      if (!this.#isOver && this.#clients[running.index] === running) {
        this.crashClient(running.index, false)
      }
    })
  }

  /**
   * One server votes and loses its disk, one never hears of it, and the other two hear of it when the
   * first has been filled again: the vote that was lost must not count.
   */
  #ambushWithDisk(running: RunningClient): void {
    const random = this.#random
    const { timeoutMs, sweepAgeMs } = this.plan
    const voter = random.below(4)
    const deaf = (voter + between(random, 1, 3)) % 4
    this.#count('diskAmbush', `${running.participant.name} ${serverNames[voter]}`)
    for (const index of serverNames.keys()) {
      if (index === deaf) this.scheduler.after(0, () => this.reset(running, index, true))
      else if (index !== voter) this.block(running, index, Math.floor(timeoutMs * 0.9))
    }
    this.scheduler.after(between(random, 8, 30), () => this.wipeServer(voter, 2))
    // It may have told its user that all is well, and nobody else.
    this.scheduler.after(Math.floor(timeoutMs * 0.9) + between(random, 8, 25), () => {
      const isThere = !this.#isOver && this.#clients[running.index] === running
      if (isThere) this.crashClient(running.index, false)
    })
    for (const delayMs of [80, 160, 320]) {
      this.scheduler.after(delayMs, () => {
        const other = pick(random, this.clients)
        if (other?.client === undefined || other === running || this.#isOver) return
        void other.client.scheduler.heal({ patienceMs: 50, sweepAgeMs }).catch(() => undefined)
      })
    }
  }

  /**
   * Two servers vote and are not heard, the other two hear nothing: the client knows of no vote, and
   * what others do of it when they meet the votes is a commit if they miss one of the other two.
   */
  #ambushUnheard(running: RunningClient): void {
    const random = this.#random
    const first = random.below(4)
    const voters = [first, (first + between(random, 1, 3)) % 4]
    const deaf = [...serverNames.keys()].filter((index) => !voters.includes(index))
    this.#count('unheard', `${running.participant.name} ${voters}`)
    for (const index of voters) this.mute(running, index, this.plan.timeoutMs * 2)
    this.scheduler.after(0, () => {
      for (const index of deaf) this.reset(running, index, true)
    })
    for (const client of this.clients) {
      if (client !== running) this.block(client, pick(random, deaf), this.plan.timeoutMs * 2)
    }
  }

  /**
   * A server that was away when a commit began is back when it is sent once more, and is the second
   * to vote for it: the other two do not get it, and the client does not live to know.
   */
  #ambushReturn(running: RunningClient, back: number): void {
    const random = this.#random
    const others = [...serverNames.keys()].filter((index) => index !== back)
    const voter = pick(random, others)
    const deaf = others.filter((index) => index !== voter)
    this.#count('return', `${running.participant.name} ${back} ${voter}`)
    this.block(running, voter, Math.floor(this.plan.timeoutMs * 0.9))
    this.scheduler.after(0, () => {
      for (const index of deaf) this.reset(running, index, true)
    })
    void this.#startServer(back)
    this.#awaited = { name: running.participant.name, deaf }
  }

  #ambushAgain(name: string): void {
    const { name: awaited, deaf = [] } = this.#awaited ?? {}
    const running = this.clients.find(({ participant }) => participant.name === name)
    if (running === undefined || name !== awaited || this.#isOver) return
    this.#awaited = undefined
    this.#count('again', name)
    this.scheduler.after(0, () => {
      for (const index of deaf) this.reset(running, index, true)
    })
    for (const client of this.clients) {
      if (client !== running) this.block(client, pick(this.#random, deaf), this.plan.timeoutMs * 2)
    }
    this.scheduler.after(between(this.#random, 6, 20), () => {
      if (this.#clients[running.index] === running) this.crashClient(running.index, false)
    })
  }

  /**
   * What a repair installs is held up until another client has removed it, and has swept away all
   * that tells of it.
   */
  #overtake(name: string, serverName: string, keys: readonly Key[]): void {
    const random = this.#random
    const { focus, timeoutMs, skewMsMax } = this.plan
    if (focus !== 'repairs' || this.#isOver || !chance(random, 0.3)) return
    const entries = keys.map(parseKey).filter((parsed) => parsed.kind === 'entry')
    const repairer = this.clients.find(({ participant }) => participant.name === name)
    const others = this.clients.filter((one) => one !== repairer && one.client !== undefined)
    if (entries.length === 0 || repairer === undefined || others.length === 0) return
    const { parent, name: entry } = pick(random, entries)
    const other = pick(random, others)
    const { client, participant } = other
    if (client === undefined) return
    this.#count('overtake', `${participant.name} ${parent}/${entry}`)
    this.block(repairer, serverNames.indexOf(serverName), timeoutMs * 2)
    const actor = this.#actor(`${participant.name}.x`, participant, client)
    void this.#occupy(other, () => actor.sweepAway(parent, entry, -skewMsMax))
  }

  stopClient(index: number, durationMs: number): void {
    const running = this.#clients[index]
    if (running === undefined || running.participant.isStopped) return
    this.#count('clientStop', `${running.participant.name} ${durationMs} ms`)
    running.participant.stop()
    // Servers give up what does not answer, such as a login, and it finds out when it goes on.
    const { nowMs } = this.scheduler
    const { name } = running.participant
    for (const server of serverNames.keys()) {
      this.#impairments.begin(server, nowMs, name)(nowMs + durationMs)
    }
    this.scheduler.after(durationMs, () => running.participant.continue())
  }

  // -- who takes part ----------------------------------------------------------------------------

  async #startServer(index: number): Promise<void> {
    const storage = this.#storages[index]
    const disk = this.#troubled[index]
    const name = serverNames[index]
    if (
      disk === undefined ||
      storage === undefined ||
      name === undefined ||
      this.#servers[index] !== undefined
    )
      return
    const participant = this.#participant(name)
    this.history.note(`${name} starts`)
    if (index === this.#wrongServer && !this.#isOver) this.#setWrong(index, participant)
    this.#network.returned(name)
    const server = await Server.start({
      address: { host: name, port: firstPort + index },
      users: usersOf(this.plan),
      storage: disk.over(storage),
      network: this.#network.of(participant),
      clock: participant.clock,
      random: participant.random,
    })
    this.#servers[index] = { participant, server }
  }

  /** Connects, and lets its users loose. A client that cannot connect tries again, as people do. */
  async #startClient(index: number): Promise<void> {
    this.#clientNumber += 1
    const participant = this.#participant(`c${this.#clientNumber}`)
    const running: RunningClient = { index, participant, client: undefined, lanes: 0 }
    this.#clients[index] = running
    const client = await this.#open(participant, index)
    running.client = client
    if (this.plan.hasKeepers) client.scheduler.start()
    // Only of one who does one thing after the other can be told what became of an answer.
    const laneCount = this.#isDirSync(participant) ? this.plan.laneCount : 1
    for (let lane = 0; lane < laneCount; lane += 1) {
      const inherited = lane === 0 ? this.#heritage(index) : []
      const actor = this.#actor(`${participant.name}.${lane}`, participant, client, inherited)
      if (lane === 0) running.actor = actor
      void this.#occupy(running, () => this.#live(participant, actor))
    }
  }

  #machine(index: number): Machine {
    const machine =
      this.#machines[index] ??
      new Machine(
        () => this.scheduler.nowMs,
        (client, entry) => this.#ambushAnswer(client, entry),
      )
    this.#machines[index] = machine
    return machine
  }

  #heritage(index: number): readonly Operation[] {
    const inherited = this.#inherited[index] ?? []
    this.#inherited[index] = []
    return inherited
  }

  #visitLater(): void {
    // Mostly so seldom that changes are answered early in between.
    const latestMs = chance(this.#random, 0.3) ? 800 : 6000
    this.#visitIn(between(this.#random, 50, latestMs))
  }

  /** The next visit is then, and not when it was to be before. */
  #visitIn(delayMs: number, favourite?: Favourite): void {
    this.#visitNumber += 1
    const number = this.#visitNumber
    this.scheduler.after(delayMs, () => {
      if (number !== this.#visitNumber || this.#isOver || this.#operationsLeft <= 0) return
      void this.#visit(favourite)
    })
  }

  /** Somebody comes in for a moment: who was alone has to let them. */
  async #visit(favourite?: Favourite): Promise<void> {
    this.#clientNumber += 1
    const participant = this.#participant(`${visitor}${this.#clientNumber}`)
    const running: RunningClient = { index: 1, participant, client: undefined, lanes: 0 }
    this.#clients[1] = running
    const client = await this.#open(participant, running.index)
    running.client = client
    const inherited = this.#heritage(running.index)
    const actor = this.#actor(`${participant.name}.0`, participant, client, inherited, favourite)
    running.actor = actor
    const operationsMax = between(participant.random, 1, favourite === undefined ? 4 : 10)
    await this.#occupy(running, () => this.#live(participant, actor, operationsMax))
    await client.close()
    this.#clients[1] = undefined
    this.#visitLater()
  }

  /** Half of the clients wait until what they change is stored; those that are alone for long do not. */
  #isDirSync({ name }: Participant): boolean {
    if (this.plan.focus === 'leases') return !name.startsWith('c')
    return Number(name.slice(1)) % 2 !== 1
  }

  /** Without a machine, nothing is answered before it is stored. */
  async #open(participant: Participant, index?: number): Promise<Client> {
    for (;;) {
      const operation = this.history.begin(participant.name, 'open', { about: '' })
      try {
        const options = {
          config: this.#config(),
          network: this.#network.of(participant),
          clock: participant.clock,
          random: participant.random,
          keyDerivation: derivedKey,
          lease: participant.random.below(2) === 1 || !this.#isDirSync(participant),
          dirSync: this.#isDirSync(participant),
          ...(index === undefined ? {} : { log: this.#machine(index).logOf(participant.name) }),
        }
        const client = await currentOperation.run(operation, () => Client.open(options))
        this.history.end(operation, 'ok')
        return client
      } catch (thrown) {
        this.history.end(operation, asDfsError(thrown).code, asDfsError(thrown).message)
        await sleep(participant, 100)
      }
    }
  }

  #actor(
    name: string,
    participant: Participant,
    client: Client,
    inherited: readonly Operation[] = [],
    favourite?: Favourite,
  ): Actor {
    return new Actor({
      inherited,
      favourite,
      name,
      client,
      isBehind: !this.#isDirSync(participant),
      random: fork(participant.random),
      history: this.history,
      contents: this.#contents,
      clock: participant.clock,
      company: this.#companyOf(client),
      nameCount: this.plan.nameCount,
      sweepAgeMs: this.plan.hasKeepers ? this.plan.sweepAgeMs : undefined,
      healWeight: this.plan.focus === 'repairs' ? 25 : 3,
      rootShare: this.plan.focus === 'ballots' ? 0.9 : 0.5,
      hasTrash: this.plan.trashMs > 0,
    })
  }

  #companyOf({ cluster }: Client): Company {
    const company = { isAlone: cluster.voters.length < 2, aloneUntilMs: -1 }
    cluster.onChange(() => {
      if (company.isAlone) company.aloneUntilMs = this.scheduler.nowMs
      company.isAlone = cluster.voters.length < 2
    })
    return company
  }

  async #live(
    participant: Participant,
    actor: Actor,
    operationsMax = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const random = fork(participant.random)
    for (let done = 0; done < operationsMax && this.#operationsLeft > 0; ) {
      await sleep(participant, random.below(this.plan.thinkMsMax))
      const count = await actor.act()
      this.#operationsLeft -= count
      done += count
    }
    await actor.settle()
  }

  /** The run is not over before `work` is, unless the client's process ends before. */
  async #occupy(running: RunningClient, work: () => Promise<void>): Promise<void> {
    running.lanes += 1
    this.#lanesRunning += 1
    await work()
    running.lanes -= 1
    this.#lanesRunning -= 1
  }

  #config(): ClientConfig {
    return {
      user,
      password,
      timeoutMs: this.plan.timeoutMs,
      servers: serverNames.map((name, index) => ({
        name,
        address: { host: name, port: firstPort + index },
      })),
      recovery: undefined,
    }
  }

  #participant(name: string): Participant {
    const random = fork(this.#random)
    const isWrong = this.plan.hasWrongClocks && /^[cv]/.test(name) && chance(random, 0.5)
    if (isWrong) return new Participant(name, this.scheduler, random, wrongBy(random))
    const skewMs = chance(random, 0.5) ? 0 : between(random, 0, this.plan.skewMsMax)
    return new Participant(name, this.scheduler, random, skewMs)
  }

  /** It counts as in trouble: what it refuses is no reason for anything to fail, without another. */
  #setWrong(index: number, participant: Participant): void {
    participant.skewMs = wrongBy(participant.random)
    this.#count('clock', `${participant.name} is ${participant.skewMs} ms ahead`)
    this.#wrongUntil ??= this.#impairments.begin(index, this.scheduler.nowMs)
  }

  // -- the end -----------------------------------------------------------------------------------

  /** Everything is well from now on. */
  #mend(): void {
    this.history.note('all faults end')
    this.#network.heal()
    for (const disk of this.#troubled) disk.mend()
    this.#isOver = true
    this.#wrongUntil?.(this.scheduler.nowMs)
    for (const index of serverNames.keys()) {
      const running = this.#servers[index]
      if (running !== undefined && index === this.#wrongServer) running.participant.skewMs = 0
      running?.participant.continue()
      void this.#startServer(index)
    }
    for (const { participant } of this.clients) participant.continue()
  }

  async #drain(): Promise<void> {
    const untilMs = this.scheduler.nowMs + operationMsMax
    this.#isOver = true
    const isDone = (): boolean =>
      this.#lanesRunning <= 0 && this.clients.every(({ client }) => client !== undefined)
    await this.scheduler.run(() => isDone() || this.scheduler.nowMs > untilMs)
  }

  /** Stores what earlier clients of a machine had answered. */
  async #storeHeritage(index: number): Promise<void> {
    const participant = this.#participant(`heir${index}`)
    const client = await this.#open(participant, index)
    await this.#actor(`heir${index}.0`, participant, client, this.#heritage(index)).settle()
    await client.close()
  }

  /** A new client looks at everything, repairs what is left to repair, and looks once more. */
  async #audit(): Promise<void> {
    for (const index of this.#machines.keys()) {
      if (this.#clients[index] === undefined) await this.#storeHeritage(index)
    }
    const participant = this.#participant('auditor')
    const client = await this.#open(participant)
    const actor = this.#actor('auditor', participant, client)
    await actor.audit()
    if (this.plan.trashMs > 0) await actor.auditTrash()
    await Promise.all(this.clients.map((one) => one.client?.close()))
    // A copy that was sent before and comes after the last repair is one too many, until the next.
    const untilMs = this.scheduler.nowMs + operationMsMax
    while (this.#network.isCarrying(participant) && this.scheduler.nowMs < untilMs) {
      await sleep(participant, 10)
    }
    // A server whose disk failed is tried again after a while only.
    if (this.#counts.diskTrouble !== undefined) {
      await sleep(participant, limits.diskRetryMs + 2_000)
    }
    // A client may have been closed while it had too few connections for it.
    for (const [index, { left }] of this.#machines.entries()) {
      if (left.length > 0) await this.#storeHeritage(index)
    }
    let left: number | undefined
    for (let round = 0; round < healsMax && left !== 0; round += 1) {
      await sleep(participant, 100)
      // Clocks are wrong by so much at most: then everything is old enough to be swept.
      this.#lost.clear()
      left = await actor.heal(-this.plan.skewMsMax, this.#lost, {
        orphanAgeMs: -this.plan.skewMsMax,
        thorough: true,
      })
    }
    if (left !== 0) this.history.violation(`${left} left after ${healsMax} repairs`)
    this.#isHealed = left === 0
    await sleep(participant, 100)
    await actor.audit()
    if (this.plan.trashMs > 0) await actor.auditTrash()
    await client.close()
  }

  #judge(): void {
    const latestMs = beginMs + this.scheduler.nowMs + limits.clockAheadMsMax
    for (const [index, storage] of this.#storages.entries()) {
      const newest = storage.openAccount(user).index.registers.newest()
      if (msOfVersion(newest) <= latestMs) continue
      this.history.violation(`${serverNames[index]} has ${newest}, which is from the future`)
    }
    check({
      history: this.history,
      transactions: this.#tap.transactions,
      indexes: this.#storages.map((storage) => storage.openAccount(user).index),
      impairedServers: (...when) => this.#impairedServers(...when),
      cutOffServers: (...when) => this.#impairments.servers(...when, 0).size,
      // Clocks that differ make it older than it is.
      forgottenAfterMs: this.plan.sweepAgeMs - 2 * this.plan.skewMsMax,
      isHealed: this.#isHealed,
      hadWipes: this.#wipes > 0,
      hasTrash: this.plan.trashMs > 0,
      lost: [...this.#lost],
      machines: Object.values(this.#machines),
      crashedMs: this.#crashedMs,
      bytesOf: (content) => this.#contents.of(content),
    })
  }

  #close(): void {
    this.#isClosed = true
    for (const client of this.clients) client.participant.kill()
    for (const storage of this.#storages) storage.openAccount(user).index.close()
  }

  async #finish(what: string, work: Promise<unknown>): Promise<void> {
    let isDone = false
    const untilMs = this.scheduler.nowMs + operationMsMax
    work.then(
      () => {
        isDone = true
      },
      (thrown: unknown) => {
        isDone = true
        this.history.violation(`${what}: ${(thrown as Error).stack}`)
      },
    )
    await this.scheduler.run(() => isDone || this.scheduler.nowMs > untilMs)
    if (!isDone) this.history.violation(`${what} does not end`)
  }

  #arrived(end: string, bytes: Buffer | undefined): void {
    this.history.mix(Buffer.from(`${this.scheduler.nowMs} ${end}`))
    if (bytes !== undefined) this.history.mix(bytes)
    else this.history.line(`${end} closed`)
  }

  #count(what: string, detail: string): void {
    this.#add(what)
    this.history.note(`FAULT ${what} ${detail}`)
  }

  #add(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1
  }
}

function planOf(
  random: Seeded,
  wanted: Focus | undefined,
  isOfLies: boolean,
): Omit<Plan, 'trashMs'> {
  const profile = weighted<Exclude<Profile, 'disks' | 'troubles' | 'lies'>>(random, {
    calm: 1,
    clients: 2,
    single: 4,
    wild: 8,
  })
  const timeoutMs = pick(random, [120, 300, 300, 2000])
  const plan: Omit<Plan, 'trashMs'> = {
    profile,
    focus: 'everything',
    clientCount: between(random, 2, 4),
    laneCount: pick(random, [1, 1, 2]),
    operationCount: between(random, 30, 90),
    ...timesOf(timeoutMs),
    faultGapMs: pick(random, [150, 400, 1000]),
    thinkMsMax: pick(random, [5, 30, 100]),
    skewMsMax: pick(random, [10, 1000, 10_000]),
    hasWrongClocks: chance(random, 0.25),
    hasKeepers: chance(random, 0.5),
    sweepAgeMs: pick(random, [200, 2000, 60_000]),
    ambushProbability: profile === 'wild' ? pick(random, [0, 0.05, 0.15]) : 0,
    nameCount: pick(random, [2, 3, 5]),
    rottingServer: chance(random, 0.2) ? random.below(4) : -1,
  }
  const drawn = weighted<Focus>(random, {
    everything: 4,
    ballots: 2,
    repairs: 2,
    leases: 2,
    disks: 2,
    lies: 0,
  })
  const focus = wanted ?? (isOfLies ? 'lies' : drawn)
  return { ...plan, focus, ...focusOn[focus](random) }
}

function timesOf(timeoutMs: number): Pick<Plan, 'timeoutMs' | 'delayMsMax' | 'graceMs'> {
  return { timeoutMs, delayMsMax: Math.floor(timeoutMs * 0.35), graceMs: 1500 + 2 * timeoutMs }
}

const focusOn: Readonly<Record<Focus, (random: Seeded) => Partial<Plan>>> = {
  everything: () => ({}),
  ballots: (random) => ({
    profile: 'wild',
    clientCount: 4,
    laneCount: 1,
    operationCount: between(random, 60, 120),
    thinkMsMax: 5,
    nameCount: 2,
    ambushProbability: pick(random, [0.15, 0.3]),
    hasKeepers: chance(random, 0.2),
  }),
  leases: (random) => ({
    profile: pick(random, ['clients', 'clients', 'single', 'wild']),
    clientCount: 1,
    operationCount: between(random, 80, 160),
    faultGapMs: pick(random, [1500, 4000]),
    thinkMsMax: pick(random, [5, 30]),
    nameCount: pick(random, [3, 5]),
    ambushProbability: pick(random, [0, 0.02]),
    ...timesOf(pick(random, [300, 2000])),
    delayMsMax: pick(random, [3, 15, 60]),
  }),
  lies: (random) => ({
    profile: 'lies',
    hasKeepers: true,
    hasWrongClocks: false,
    rottingServer: -1,
    sweepAgeMs: pick(random, [20, 200, 2000]),
    faultGapMs: pick(random, [400, 1500]),
    ambushProbability: 0,
    ...timesOf(2000),
    delayMsMax: 20,
  }),
  disks: (random) => ({
    profile: 'troubles',
    rottingServer: -1,
    faultGapMs: pick(random, [150, 400, 1500]),
  }),
  repairs: (random) => ({
    profile: 'disks',
    hasKeepers: true,
    rottingServer: -1,
    sweepAgeMs: pick(random, [20, 100, 300]),
    faultGapMs: pick(random, [150, 400, 1500]),
    nameCount: pick(random, [2, 3]),
    ambushProbability: pick(random, [0.05, 0.2]),
    ...timesOf(pick(random, [300, 2000, 2000])),
    delayMsMax: 100,
  }),
}

/** What a change is about. */
function favouriteIn({ writes }: Transaction): Favourite {
  let favourite: Favourite = { file: rootIno, name: 'e' }
  for (const { key, value } of writes) {
    const parsed = parseKey(key)
    // No program reaches what the trash keeps.
    const isKept =
      parsed.kind === 'entry'
        ? parsed.parent === trashIno
        : value !== null && recordOf(decodeInode(value)) !== undefined
    if (isKept) continue
    favourite =
      parsed.kind === 'entry'
        ? { ...favourite, name: parsed.name }
        : { ...favourite, file: parsed.ino }
  }
  return favourite
}

/** More than a server takes for right, either way. */
function wrongBy(random: Seeded): number {
  const offMs = chance(random, 0.5)
    ? between(random, 2 * limits.clockAheadMsMax, 3600_000)
    : between(random, 3600_000, 30 * 24 * 3600_000)
  return chance(random, 0.5) ? offMs : -offMs
}

function sleep(participant: Participant, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    participant.clock.after(delayMs, resolve)
  })
}
