/**
 * Versions order every change of a register: a hybrid logical clock (Kulkarni et al., 2014) followed
 * by the writer's client id. As 24 hexadecimal digits a version compares as a string, is a map key,
 * and takes 12 bytes on the wire: 6 of milliseconds since 1970, 2 of counter, 4 of client id.
 */
import type { Clock } from '../clock.js'
import { hex } from './codec.js'

export type Version = string

/** Below every version of every writer: "never written". */
export const noVersion: Version = '0'.repeat(24)
export const versionCodec = hex(12)

const counterLimit = 0x1_0000

export function versionOf(ms: number, counter: number, client: string): Version {
  return ms.toString(16).padStart(12, '0') + counter.toString(16).padStart(4, '0') + client
}

/** The wall time, in milliseconds since 1970, that the writer's clock showed (or had to show). */
export function msOfVersion(version: Version): number {
  return Number.parseInt(version.slice(0, 12), 16)
}

/** The id of the client that wrote it, as 8 hexadecimal digits. */
export function clientOfVersion(version: Version): string {
  return version.slice(16)
}

export function laterOf(a: Version, b: Version): Version {
  return a > b ? a : b
}

/** A clock that never repeats a version and is always ahead of every version it was shown. */
export class HybridClock {
  readonly client: string
  readonly #clock: Clock
  #ms = 0
  #counter = 0

  /** `client` is 8 hexadecimal digits that no other running client has. */
  constructor(clock: Clock, client: string) {
    this.#clock = clock
    this.client = client
  }

  /** A version greater than every one returned or seen before. */
  next(): Version {
    const now = Math.floor(this.#clock.now())
    if (now > this.#ms) {
      this.#ms = now
      this.#counter = 0
    } else {
      this.#counter += 1
      if (this.#counter === counterLimit) {
        this.#ms += 1
        this.#counter = 0
      }
    }
    return versionOf(this.#ms, this.#counter, this.client)
  }

  /** Takes note of a version that somebody else made. */
  see(version: Version): void {
    const ms = msOfVersion(version)
    const counter = Number.parseInt(version.slice(12, 16), 16)
    if (ms > this.#ms || (ms === this.#ms && counter > this.#counter)) {
      this.#ms = ms
      this.#counter = counter
    }
  }
}
