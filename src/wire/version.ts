/**
 * Versions order every change of a register: a hybrid logical clock (Kulkarni et al., 2014) followed
 * by the writer's client id. As 24 hexadecimal digits a version compares as a string, is a map key,
 * and takes 12 bytes on the wire: 6 of milliseconds since 1970, 2 of counter, 4 of client id.
 */
import type { Clock } from '../clock.js'
import { limits } from '../limits.js'
import { hex } from './codec.js'

export type Version = string

/** Below every version of every writer: a register with it was never written. */
export const noVersion: Version = '0'.repeat(24)
export const versionCodec = hex(12)

const counterLimit = 0x1_0000

export function versionOf(ms: number, counter: number, client: string): Version {
  return ms.toString(16).padStart(12, '0') + counter.toString(16).padStart(4, '0') + client
}

/** The wall time in milliseconds since 1970 in a version: what the writer's clock showed, or had to be moved to. */
export function msOfVersion(version: Version): number {
  return Number.parseInt(version.slice(0, 12), 16)
}

/** The id of the client that wrote a version, as 8 hexadecimal digits. */
export function clientOfVersion(version: Version): string {
  return version.slice(16)
}

/** The least version of `client` above `version`, or an equal one that only the client ids order. */
function successorOf(version: Version, client: string): Version {
  const counter = Number.parseInt(version.slice(12, 16), 16) + 1
  const ms = msOfVersion(version)
  return counter < counterLimit ? versionOf(ms, counter, client) : versionOf(ms + 1, 0, client)
}

export function laterOf(a: Version, b: Version): Version {
  return a > b ? a : b
}

/** Whether a version is so far ahead of `ms` that no correct clock can have made it. */
export function isAhead(version: Version, ms: number): boolean {
  return msOfVersion(version) > ms + limits.clockAheadMsMax
}

/** Versions from the future that are remembered, so that none is made twice. */
const farMax = 4096
/** Added to the counter after the clock was set back, so that no version of that time is made again. */
const counterStep = 0x0400

/**
 * Makes versions that never repeat and exceed every version it was shown, except those ahead of its own time by more
 * than half of what servers take: their writer had a wrong clock, or a server has made them up.
 */
export class HybridClock {
  readonly client: string
  readonly #clock: Clock
  readonly #far = new Set<Version>()
  #ms = 0
  #counter = 0
  #counterBegin = 0

  /** `client` is 8 hexadecimal digits that no other running client has. */
  constructor(clock: Clock, client: string) {
    this.#clock = clock
    this.client = client
  }

  /**
   * Returns a version greater than every one seen before and than `above`. When `above` is from the future, it is
   * just above it, and later versions are of the present again.
   */
  next(above: Version = noVersion): Version {
    const now = Math.floor(this.#clock.now())
    this.see(above)
    if (this.#ms > now + limits.clockAheadMsMax) {
      this.#ms = now
      this.#counterBegin = (this.#counterBegin + counterStep) % counterLimit
      this.#counter = this.#counterBegin
    }
    if (now > this.#ms) {
      this.#ms = now
      this.#counter = this.#counterBegin
    } else {
      this.#counter += 1
      if (this.#counter >= counterLimit) {
        this.#ms += 1
        this.#counter = 0
      }
    }
    const version = versionOf(this.#ms, this.#counter, this.client)
    return version > above ? version : this.#justAbove(above)
  }

  #justAbove(version: Version): Version {
    let far = version
    do far = successorOf(far, this.client)
    while (this.#far.has(far))
    for (const oldest of this.#far) {
      if (this.#far.size < farMax) break
      this.#far.delete(oldest)
    }
    this.#far.add(far)
    return far
  }

  /** Takes note of a version that another client made. */
  see(version: Version): void {
    const ms = msOfVersion(version)
    if (ms > this.#clock.now() + limits.clockFollowedMsMax) return
    const counter = Number.parseInt(version.slice(12, 16), 16)
    if (ms > this.#ms || (ms === this.#ms && counter > this.#counter)) {
      this.#ms = ms
      this.#counter = counter
    }
  }
}
