/**
 * The network of the simulated world. What is sent on one connection arrives in order, after a delay
 * of its own for each direction, in chunks that need not be those that were sent. A connection that
 * breaks loses some of what was on its way. Two participants may be unable to reach each other for
 * a while: then nothing is lost unless somebody gives the connection up, as with TCP.
 */
import { DfsError } from '../../src/errors.js'
import type { Connection, ConnectionEvents, Network } from '../../src/network.js'
import type { Seeded } from '../fixtures/seeded.js'
import { between, chance } from './chance.js'
import type { Participant } from './participant.js'
import type { Scheduler } from './scheduler.js'

/** Hears what is said on one connection: requests when they are sent, replies when they arrive. */
export interface Listening {
  request(bytes: Buffer): void
  reply(bytes: Buffer): void
}

export interface NetworkOptions {
  /** A message takes at most so long. */
  readonly delayMsMax: number
  /** `isDetour`: the client took this server for another one. */
  readonly listen: (client: string, server: string, isDetour: boolean) => Listening
  /** Changes what a server answers; undefined for one that does not lie. */
  readonly lies: (
    server: string,
  ) => { request(bytes: Buffer): void; reply(bytes: Buffer): Buffer } | undefined
  /** Everything that arrives, for the log that must be the same in every run. */
  readonly arrived: (end: string, bytes: Buffer | undefined) => void
}

interface Accepting {
  readonly participant: Participant
  readonly accept: (connection: Connection) => ConnectionEvents
}

interface Detour {
  readonly port: number
  readonly untilMs: number
}

const retransmitMs = 200

export class SimulatedNetwork {
  readonly #scheduler: Scheduler
  readonly #random: Seeded
  readonly #options: NetworkOptions
  readonly #listeners = new Map<number, Accepting>()
  readonly #ends = new Set<End>()
  readonly #blockedUntil = new Map<string, number>()
  readonly #mutedUntil = new Map<string, number>()
  /** By client and port: who answers there in the place of the server, and until when. */
  readonly #detours = new Map<string, Detour>()
  /** No more trouble: short delays. */
  isCalm = false

  constructor(scheduler: Scheduler, random: Seeded, options: NetworkOptions) {
    this.#scheduler = scheduler
    this.#random = random
    this.#options = options
  }

  /** The network as `participant` has it. */
  of(participant: Participant): Network {
    return {
      connect: (address, timeoutMs, events) =>
        this.#connect(participant, address.port, timeoutMs, events),
      listen: async ({ port }, accept) => {
        this.#listeners.set(port, { participant, accept })
        return {
          port,
          close: async () => {
            this.#listeners.delete(port)
          },
        }
      },
    }
  }

  /** Nothing passes between the two until then. */
  block(a: Participant, b: Participant, untilMs: number): void {
    this.#blockedUntil.set(pairOf(a, b), untilMs)
  }

  /** Nothing of what `from` says reaches `to` until then; the other way everything passes. */
  mute(from: Participant, to: Participant, untilMs: number): void {
    this.#mutedUntil.set(`${from.name}>${to.name}`, untilMs)
  }

  /**
   * Whoever is at the address `from` passes on to `to` what this client says, unchanged. A program that took the port
   * of a server could do that, and anybody on the path.
   */
  detour(client: Participant, from: number, detour: Detour): void {
    this.#detours.set(`${client.name} ${from}`, detour)
  }

  /** Every address leads to its own server again. */
  endDetours(): void {
    this.#detours.clear()
  }

  /** Everything passes again. */
  heal(): void {
    this.endDetours()
    this.#blockedUntil.clear()
    this.#mutedUntil.clear()
    this.isCalm = true
  }

  blockedUntil(a: Participant, b: Participant): number {
    return this.#blockedUntil.get(pairOf(a, b)) ?? 0
  }

  /** From when on something that `from` sends reaches `to`. */
  reachesFrom(from: Participant, to: Participant): number {
    const mutedUntil = this.#mutedUntil.get(`${from.name}>${to.name}`) ?? 0
    return Math.max(mutedUntil, this.blockedUntil(from, to))
  }

  /** Breaks the connections between the two, as a reset does. */
  reset(a: Participant, b: Participant, isTotal: boolean): void {
    for (const end of [...this.#ends]) {
      if (end.owner !== a || end.peer.owner !== b) continue
      end.break('reset', isTotal)
      end.peer.break('reset', isTotal)
    }
  }

  /** The process is gone. Its peers hear of it soon, or (the machine is gone) when it is back. */
  vanish(participant: Participant, isSilent: boolean): void {
    for (const [port, { participant: owner }] of this.#listeners) {
      if (owner === participant) this.#listeners.delete(port)
    }
    for (const end of [...this.#ends]) {
      if (end.owner !== participant) continue
      this.#ends.delete(end)
      if (isSilent) end.peer.lose()
      else end.peer.break('the peer has crashed')
    }
  }

  /** Something is on its way that neither was sent by `participant` nor is for it. */
  isCarrying(participant: Participant): boolean {
    const others = [...this.#ends].filter(
      (end) => end.owner !== participant && end.peer.owner !== participant,
    )
    return others.some((end) => end.isExpecting)
  }

  /** The machine of a silent crash answers again: its old connections are unknown to it. */
  returned(name: string): void {
    for (const end of [...this.#ends]) {
      if (end.peer.owner.name === name && !end.peer.owner.isAlive) end.break('reset')
    }
  }

  // -- for the ends ------------------------------------------------------------------------------

  get scheduler(): Scheduler {
    return this.#scheduler
  }

  get random(): Seeded {
    return this.#random
  }

  delay(): number {
    const { delayMsMax } = this.#options
    if (this.isCalm) return between(this.#random, 1, 2)
    const drawn = this.#random.below(100)
    if (drawn < 2) return between(this.#random, 1, delayMsMax)
    if (drawn < 12) return between(this.#random, 1, Math.max(1, delayMsMax >> 2))
    return between(this.#random, 1, Math.max(1, Math.min(6, delayMsMax)))
  }

  arrived(end: string, bytes: Buffer | undefined): void {
    this.#options.arrived(end, bytes)
  }

  forget(end: End): void {
    this.#ends.delete(end)
  }

  #connect(
    client: Participant,
    port: number,
    timeoutMs: number,
    events: ConnectionEvents,
  ): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let isDone = false
      const fail = (why: string): void => {
        if (isDone) return
        isDone = true
        timer.cancel()
        reject(new DfsError('down', why))
      }
      const timer = client.clock.after(timeoutMs, () => fail('no answer'))
      const attempt = (): void => {
        if (isDone || !client.isAlive) return
        const detour = this.#detours.get(`${client.name} ${port}`)
        const isDetour = detour !== undefined && detour.untilMs > this.#scheduler.nowMs
        const listener = this.#listeners.get(isDetour ? detour.port : port)
        if (listener === undefined) {
          this.#scheduler.after(this.delay(), () => client.run(() => fail('refused')))
          return
        }
        if (this.blockedUntil(client, listener.participant) > this.#scheduler.nowMs) {
          this.#scheduler.after(retransmitMs, attempt)
          return
        }
        const [near, far] = this.#join(client, listener, isDetour)
        // The kernel of the server answers, also while its process is stopped.
        this.#scheduler.after(this.delay(), () =>
          client.run(() => {
            if (isDone) {
              near.destroy()
              return
            }
            isDone = true
            timer.cancel()
            near.start(events)
            resolve(near)
          }),
        )
        listener.participant.run(() => far.start(listener.accept(far)))
      }
      this.#scheduler.after(this.delay(), attempt)
    })
  }

  #join(client: Participant, { participant }: Accepting, isDetour: boolean): [End, End] {
    const listening = this.#options.listen(client.name, participant.name, isDetour)
    const liar = this.#options.lies(participant.name)
    const near = new End(this, client, participant.name, {
      sent: (bytes) => {
        listening.request(bytes)
        liar?.request(bytes)
      },
      received: (bytes) => listening.reply(bytes),
    })
    const ears = { sent() {}, received() {} }
    const far = new End(
      this,
      participant,
      client.name,
      ears,
      (bytes) => liar?.reply(bytes) ?? bytes,
    )
    near.peer = far
    far.peer = near
    this.#ends.add(near)
    this.#ends.add(far)
    return [near, far]
  }
}

interface Arriving {
  readonly atMs: number
  /** Absent: the peer has closed. */
  readonly bytes?: Buffer
}

interface Ears {
  sent(bytes: Buffer): void
  received(bytes: Buffer): void
}

/** One end of a connection. */
class End implements Connection {
  readonly remote: string
  readonly isLocal = true
  readonly queuedBytes = 0
  readonly owner: Participant
  peer: End = this
  readonly #network: SimulatedNetwork
  readonly #ears: Ears
  readonly #change: (bytes: Buffer) => Buffer
  #events: ConnectionEvents | undefined
  #inbox: Arriving[] = []
  #state: 'open' | 'ending' | 'closed' = 'open'
  #isLost = false
  #isPaused = false
  #lastArrivalMs = 0
  #brokenBy: string | undefined

  constructor(
    network: SimulatedNetwork,
    owner: Participant,
    remote: string,
    ears: Ears,
    change = (bytes: Buffer): Buffer => bytes,
  ) {
    this.#change = change
    this.#network = network
    this.owner = owner
    this.remote = remote
    this.#ears = ears
  }

  get isExpecting(): boolean {
    return this.#inbox.length > 0 && this.owner.isAlive
  }

  start(events: ConnectionEvents): void {
    this.#events = events
    if (this.#brokenBy !== undefined) this.#close(this.#brokenBy)
    else this.#arrive()
  }

  send(parts: readonly Uint8Array[], sent?: () => void): void {
    const bytes = this.#change(Buffer.concat(parts))
    sent?.()
    if (this.#state !== 'open' || !this.owner.isAlive) return
    if (bytes.length === 0) return
    this.#ears.sent(bytes)
    this.peer.#expect(bytes)
  }

  pause(paused: boolean): void {
    this.#isPaused = paused
    if (!paused) this.#network.scheduler.after(0, () => this.#deliver())
  }

  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    this.peer.#expect(undefined)
  }

  destroy(): void {
    if (this.#state === 'closed') return
    const wasOpen = this.#state === 'open'
    this.#close(undefined)
    if (wasOpen) this.peer.#expect(undefined)
    // What the peer sent and nobody read makes its kernel drop what it has not read either.
    if (this.#inbox.length > 0) this.peer.#loseSome()
  }

  /** The connection broke: some of what was on its way is lost, then the owner hears of it. */
  break(why: string, isTotal = false): void {
    if (this.#state === 'closed') return
    if (isTotal) this.#inbox = []
    else this.#loseSome()
    this.#brokenBy = why
    this.#expectClose()
  }

  /** The peer's machine is gone: nothing more will ever arrive, and nobody says so. */
  lose(): void {
    this.#loseSome()
    this.#isLost = true
  }

  #loseSome(): void {
    const { random } = this.#network
    this.#inbox.length = random.below(this.#inbox.length + 1)
  }

  #expect(bytes: Buffer | undefined): void {
    if (this.#isLost || this.#brokenBy !== undefined || !this.owner.isAlive) return
    const atMs = Math.max(
      this.#lastArrivalMs,
      this.#network.scheduler.nowMs + this.#network.delay(),
    )
    this.#lastArrivalMs = atMs
    this.#inbox.push(bytes === undefined ? { atMs } : { atMs, bytes })
    this.#network.scheduler.at(atMs, () => this.#deliver())
  }

  #expectClose(): void {
    this.#isLost = true
    const atMs = Math.max(
      this.#lastArrivalMs,
      this.#network.scheduler.nowMs + this.#network.delay(),
    )
    this.#lastArrivalMs = atMs
    this.#inbox.push({ atMs })
    this.#network.scheduler.at(atMs, () => this.#deliver())
  }

  #deliver(): void {
    const { scheduler } = this.#network
    const reachesFrom = this.#network.reachesFrom(this.peer.owner, this.owner)
    if (reachesFrom > scheduler.nowMs) {
      scheduler.at(reachesFrom + this.#network.delay(), () => this.#deliver())
      return
    }
    this.owner.run(() => this.#arrive())
  }

  /** Hands over all that has arrived by now. */
  #arrive(): void {
    const { scheduler, random } = this.#network
    if (this.#events === undefined || this.#isPaused) return
    const chunks: Buffer[] = []
    let isEnd = false
    for (
      let first = this.#inbox[0];
      first && first.atMs <= scheduler.nowMs;
      first = this.#inbox[0]
    ) {
      this.#inbox.shift()
      if (first.bytes === undefined) isEnd = true
      else chunks.push(first.bytes)
    }
    if (this.#state === 'closed') return
    if (chunks.length > 0) {
      const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
      const cut = chance(random, 0.05) ? random.below(bytes.length) : 0
      if (cut > 0) this.#hand(bytes.subarray(0, cut))
      this.#hand(bytes.subarray(cut))
    }
    if (isEnd) {
      if ((this.#state as string) === 'open') this.peer.#expect(undefined)
      this.#close(this.#brokenBy)
    }
  }

  #hand(bytes: Buffer): void {
    if (this.#state === 'closed') return
    this.#network.arrived(`${this.owner.name}<${this.remote}`, bytes)
    this.#ears.received(bytes)
    this.#events?.data(bytes)
  }

  /** The owner hears of it once, a little later, as with a socket. */
  #close(why: string | undefined): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#network.forget(this)
    this.#network.scheduler.after(0, () =>
      this.owner.run(() => {
        this.#network.arrived(`${this.owner.name}<${this.remote}`, undefined)
        this.#events?.closed(why === undefined ? undefined : new Error(why))
      }),
    )
  }
}

function pairOf(a: Participant, b: Participant): string {
  return a.name < b.name ? `${a.name} ${b.name}` : `${b.name} ${a.name}`
}
