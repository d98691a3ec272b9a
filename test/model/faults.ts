/** The faults of a schedule: machines stop, stand still and lose disks, messages are cut off, registers rot. */
import type { Client } from './client.js'
import type { Context } from './context.js'
import { asText, type Network } from './network.js'
import type { Server } from './server.js'
import { serverCount } from './vocabulary.js'

/** Servers that are down at once. */
const downMax = 2
const downMin = 20
const downMore = 800
const serverPauseMax = 300
const cutMax = 600
const clientPauseMax = 300
/** Some clients stand still so long that everything about them is forgotten. */
const longPauseShare = 0.3
const longPauseMax = 2500
const rotGap = 200

export class Faults {
  readonly #context: Context
  readonly #network: Network
  readonly #clients: readonly Client[]
  readonly #restart: (client: Client) => void

  /** `restart` lets a client that has crashed begin anew. */
  constructor(network: Network, clients: readonly Client[], restart: (client: Client) => void) {
    const [first] = clients
    if (!first) throw new RangeError('there are no clients')
    this.#context = first.context
    this.#network = network
    this.#clients = clients
    this.#restart = restart
  }

  begin(firstAt: number): void {
    const { events, options } = this.#context
    events.at(firstAt, () => this.#fault())
    if (options.rot) events.at(firstAt, () => this.#rot())
  }

  #fault(): void {
    const { events, options, chance } = this.#context
    if (events.now > options.endsAt) return
    const drawn = chance.fraction()
    const server = this.#network.servers[chance.below(serverCount)]
    const client = this.#clients[chance.below(this.#clients.length)]
    if (server && client) this.#strike(drawn, server, client)
    events.after(chance.below(options.faultGap), () => this.#fault())
  }

  #strike(drawn: number, server: Server, client: Client): void {
    // Where a server lies, it is the one that fails: of the others no two things fail at once.
    if (this.#context.options.lies === 1 && drawn < 0.65 && !server.liar) this.#wipe(server)
    else if (drawn < 0.25) this.#stop(server)
    else if (drawn < 0.35) this.#wipe(server)
    else if (drawn < 0.45) this.#pauseServer(server)
    else if (drawn < 0.65) this.#cut(client, server)
    else if (drawn < 0.8) this.#crash(client)
    else if (drawn < 0.95) this.#pauseClient(client)
  }

  #stop(server: Server): void {
    const { counts, events, chance, trace } = this.#context
    const down = this.#network.servers.filter(({ isUp }) => !isUp)
    if (!server.isUp || down.length >= downMax) return
    counts.serverCrashes += 1
    server.isUp = false
    trace?.(`DOWN s${server.index}`)
    events.after(downMin + chance.below(downMore), () => {
      server.isUp = true
      trace?.(`UP s${server.index}`)
    })
  }

  #wipe(server: Server): void {
    const { counts, options, trace } = this.#context
    const isOneBlank = this.#network.servers.some(({ state }) => state.isBlank)
    if (options.rot === 2 || isOneBlank || !server.isUp) return
    if ((options.lies || options.rot) && (server.liar || !areAlike(this.#network.servers))) return
    counts.wipes += 1
    server.wipe()
    trace?.(`WIPE s${server.index}`)
  }

  #pauseServer(server: Server): void {
    const { counts, events, chance, trace } = this.#context
    counts.pauses += 1
    server.pausedUntil = events.now + chance.below(serverPauseMax)
    trace?.(`PAUSE s${server.index}`)
  }

  #cut(client: Client, server: Server): void {
    const { counts, events, chance, trace } = this.#context
    counts.cuts += 1
    this.#network.cut(client.index, server.index, events.now + chance.below(cutMax))
    trace?.(`CUT c${client.index} s${server.index}`)
  }

  #crash(client: Client): void {
    this.#context.counts.clientCrashes += 1
    client.crash()
    this.#context.trace?.(`CRASH c${client.index}`)
    this.#restart(client)
  }

  #pauseClient(client: Client): void {
    const { counts, events, chance, trace } = this.#context
    counts.pauses += 1
    const longest = chance.happens(longPauseShare) ? longPauseMax : clientPauseMax
    client.pausedUntil = events.now + chance.below(longest)
    trace?.(`PAUSE c${client.index}`)
  }

  /** At most one copy of a register rots at a time, and none while a server is blank. */
  #rot(): void {
    const { counts, events, options, chance, trace } = this.#context
    if (events.now > options.endsAt) return
    const key = `k${chance.below(options.keys)}`
    const server = this.#network.servers[chance.below(serverCount)]
    const isOneAway = this.#network.servers.some(({ state }) => {
      return state.isBlank || state.rotten.has(key)
    })
    if (server?.state.registers.has(key) && !isOneAway) {
      counts.rotted += 1
      server.state.rotten.add(key)
      trace?.(`ROT ${key} s${server.index}`)
    }
    events.after(chance.below(rotGap), () => this.#rot())
  }
}

/** Whether the honest servers are repaired: what only one of them and the lying one have is lost with a disk. */
function areAlike(servers: readonly Server[]): boolean {
  const states = servers.filter(({ liar }) => !liar).map(({ state }) => state)
  if (states.some(({ rotten }) => rotten.size > 0)) return false
  const texts = states.map(({ registers }) => asText(new Map([...registers].sort())))
  const isUndecided = states.some(({ records }) => {
    return [...records.values()].some(({ decision }) => !decision)
  })
  return new Set(texts).size === 1 && !isUndecided
}
