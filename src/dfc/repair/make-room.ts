/**
 * Makes room for what does not fit any more by the user's quota or on the disks: removes the oldest of the trash, and
 * repairs, so that the servers let its pieces go (docs/decisions/0030).
 */
import { SingleFlight } from '../../async/single-flight.js'
import { type Clock, sleep } from '../../clock.js'
import { isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import type { MakesRoom } from '../content/segment-writer.js'
import type { Namespace } from '../namespace/namespace.js'
import type { RepairScheduler } from './scheduler.js'

export interface RoomSources {
  readonly clock: Clock
  readonly namespace: Pick<Namespace, 'trash' | 'settle'>
  readonly scheduler: Pick<RepairScheduler, 'heal' | 'ended'>
  /** Bytes of content that the servers have room for. */
  readonly freeBytes: () => Promise<number>
}

export class RoomMaker {
  readonly #sources: RoomSources
  readonly #making = new SingleFlight<boolean>()

  constructor(sources: RoomSources) {
    this.#sources = sources
  }

  /**
   * Makes room where `failure` is that there is none, and the trash has something. Returns true when there is more than
   * before, so that what failed may be tried again. Never rejects.
   */
  readonly make: MakesRoom = async (failure, wantedBytes) => {
    if (!isError(failure, 'quota', 'noSpace')) return false
    return this.#making.run(() =>
      this.#make(wantedBytes).catch((error: unknown) => {
        debugDfc('room: %o', error)
        return false
      }),
    )
  }

  async #make(wantedBytes: number): Promise<boolean> {
    const { namespace, scheduler, freeBytes } = this.#sources
    const before = await freeBytes()
    const bytes = Math.max(wantedBytes, limits.trashRoomBytes)
    if ((await namespace.trash.removeOldest(bytes)) === 0) return false
    await namespace.settle()
    // A repair that began before the removal does not sweep it.
    await scheduler.ended()
    const { swept } = await scheduler.heal({ sweepAgeMs: 0 })
    return swept && (await this.#isFreed(before))
  }

  /** The servers remove pieces in small steps after a sweep. */
  async #isFreed(before: number): Promise<boolean> {
    const { clock, freeBytes } = this.#sources
    for (let waitedMs = 0; waitedMs < limits.trashRoomWaitMs; waitedMs += stepMs) {
      await sleep(clock, stepMs)
      if ((await freeBytes()) > before) return true
    }
    return false
  }
}

const stepMs = 50
