/** The faults of a run, and their times. A profile says how bad it gets; everything else is chance. */
import type { Seeded } from '../fixtures/seeded.js'
import { between, chance, pick, weighted } from './chance.js'
import { diskTroubles } from './disks.js'
import type { World } from './world.js'

export type Profile = 'calm' | 'clients' | 'single' | 'wild' | 'disks' | 'troubles' | 'lies'

type Fault =
  | 'crash'
  | 'stop'
  | 'block'
  | 'reset'
  | 'detour'
  | 'wipe'
  | 'rot'
  | 'disk'
  | 'clientCrash'
  | 'clientStop'
  | 'nothing'

const weights: Readonly<Record<Profile, Readonly<Record<Fault, number>>>> = {
  calm: {
    crash: 0,
    stop: 0,
    block: 0,
    reset: 0,
    detour: 0,
    wipe: 0,
    rot: 0,
    disk: 0,
    clientCrash: 0,
    clientStop: 0,
    nothing: 1,
  },
  clients: {
    crash: 0,
    stop: 0,
    block: 0,
    reset: 0,
    detour: 0,
    wipe: 0,
    rot: 0,
    disk: 0,
    clientCrash: 3,
    clientStop: 2,
    nothing: 2,
  },
  single: {
    crash: 4,
    stop: 2,
    block: 3,
    reset: 3,
    detour: 1,
    wipe: 2,
    rot: 2,
    disk: 0,
    clientCrash: 2,
    clientStop: 0,
    nothing: 1,
  },
  wild: {
    crash: 5,
    stop: 2,
    block: 5,
    reset: 4,
    detour: 1,
    wipe: 2,
    rot: 2,
    disk: 0,
    clientCrash: 2,
    clientStop: 2,
    nothing: 1,
  },
  disks: {
    crash: 3,
    stop: 1,
    block: 4,
    reset: 2,
    detour: 0,
    wipe: 2,
    rot: 0,
    disk: 0,
    clientCrash: 1,
    clientStop: 3,
    nothing: 2,
  },
  lies: {
    crash: 0,
    stop: 0,
    block: 0,
    reset: 0,
    detour: 0,
    wipe: 1,
    rot: 0,
    disk: 0,
    clientCrash: 3,
    clientStop: 2,
    nothing: 3,
  },
  troubles: {
    crash: 3,
    stop: 1,
    block: 2,
    reset: 2,
    detour: 0,
    wipe: 0,
    rot: 0,
    disk: 8,
    clientCrash: 1,
    clientStop: 1,
    nothing: 1,
  },
}

export class Faults {
  readonly #world: World
  readonly #random: Seeded
  readonly #profile: Profile
  /** In the profile `single`: the next one must wait until everybody has noticed the end of the last. */
  #freeAtMs = 0
  #isOver = false

  constructor(world: World, random: Seeded, profile: Profile) {
    this.#world = world
    this.#random = random
    this.#profile = profile
  }

  start(): void {
    if (this.#profile === 'calm') return
    this.#later()
  }

  stop(): void {
    this.#isOver = true
  }

  #later(): void {
    const { scheduler } = this.#world
    scheduler.after(between(this.#random, 5, this.#world.plan.faultGapMs), () => {
      if (this.#isOver) return
      this.#strike(weighted(this.#random, weights[this.#profile]))
      this.#later()
    })
  }

  #strike(fault: Fault): void {
    const world = this.#world
    const random = this.#random
    const now = world.scheduler.nowMs
    const server = random.below(4)
    const durationMs = this.#duration()
    const isServerFault = ['crash', 'stop', 'block', 'reset', 'detour', 'wipe'].includes(fault)
    if (isServerFault && this.#profile === 'single') {
      if (now < this.#freeAtMs || world.hasBlank) return
      this.#freeAtMs = now + durationMs + world.plan.graceMs
    }
    switch (fault) {
      case 'crash':
        if (world.runningServers.length > 2)
          world.crashServer(server, durationMs, chance(random, 0.3))
        return
      case 'stop':
        world.stopServer(server, durationMs)
        return
      case 'block':
        for (const client of world.clients) {
          if (chance(random, 0.5)) world.block(client, server, durationMs)
        }
        return
      case 'reset': {
        const client = pick(random, world.clients)
        if (client !== undefined) world.reset(client, server)
        return
      }
      case 'detour': {
        const client = pick(random, world.clients)
        if (client !== undefined) world.detour(client, server, random.below(4), durationMs)
        return
      }
      case 'wipe':
        world.wipeServer(server, durationMs)
        return
      case 'rot':
        void world.rot(random)
        return
      case 'disk': {
        const trouble = pick(random, diskTroubles)
        // One cable under all of them, now and then.
        const isOfAll = chance(random, 0.2)
        for (const index of isOfAll ? [0, 1, 2, 3] : [server]) {
          world.troubleDisk(index, trouble, durationMs)
        }
        return
      }
      case 'clientCrash':
        world.crashClient(random.below(world.plan.clientCount), chance(random, 0.3))
        return
      case 'clientStop':
        world.stopClient(random.below(world.plan.clientCount), durationMs)
        return
      case 'nothing':
    }
  }

  /** Mostly shorter than the time-out, sometimes longer. */
  #duration(): number {
    const { timeoutMs } = this.#world.plan
    return chance(this.#random, 0.6)
      ? between(this.#random, 5, timeoutMs)
      : between(this.#random, timeoutMs, timeoutMs * 4)
  }
}
