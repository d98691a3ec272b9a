/**
 * The common part of put and get: several files are transferred at a time, a failure is reported while others go on,
 * and the user sees the progress.
 */
import assert from 'node:assert/strict'
import { TaskPool } from '../../async/task-pool.js'
import { limits } from '../../limits.js'
import { reportAbout, type Session, type Status } from '../session.js'
import { Progress } from '../terminal/progress.js'
import type { Step } from './targets.js'

export interface TransferOptions {
  /** Transfers folders with everything in them. */
  readonly recursive: boolean
}

/** A folder that several actions fill. What is to follow is done when the last of them has ended. */
export class Filling {
  readonly #filled: () => Promise<void>
  #actions = 1

  /** Counts one action already: the one that makes this. */
  constructor(filled: () => Promise<void>) {
    this.#filled = filled
  }

  begin(): void {
    assert(this.#actions > 0, 'the folder is filled already')
    this.#actions += 1
  }

  async end(): Promise<void> {
    this.#actions -= 1
    if (this.#actions === 0) await this.#filled()
  }
}

export class Transfer {
  readonly session: Session
  readonly progress: Progress
  readonly #pool = new TaskPool(limits.filesInFlightMax)
  #alone = false
  #status: Status = 0

  constructor(session: Session) {
    this.session = session
    this.progress = new Progress(session.output, session.client.cluster.clock)
  }

  /** Takes every step. */
  async run(steps: readonly Step[], take: (step: Step) => Promise<void>): Promise<Status> {
    this.#alone = steps.length === 1
    try {
      for (const step of steps) await this.attempt(step.source, () => take(step))
      await this.#pool.finish()
      this.session.interrupted.throwIfAborted()
      return this.#status
    } finally {
      this.progress.stop()
    }
  }

  /** Runs `action`, and reports its failure under `name`. */
  async attempt(name: string, action: () => Promise<void>): Promise<void> {
    if (this.session.interrupted.aborted) return
    try {
      await action()
    } catch (error) {
      if (this.session.interrupted.aborted) return
      reportAbout(this.session, name, error, this.#alone)
      this.#status = 1
    }
  }

  /**
   * Runs `action` beside others, as one of those that fill a folder, and reports its failure under `name`. Resolves
   * once it has begun.
   */
  inLane(name: string, folder: Filling | undefined, action: () => Promise<void>): Promise<void> {
    folder?.begin()
    return this.#pool.start(async () => {
      await this.attempt(name, action)
      await folder?.end()
    })
  }

  /** Yields and counts the chunks of a file. Throws when the user interrupts. */
  watch(chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    return this.progress.count(untilInterrupted(chunks, this.session.interrupted))
  }
}

async function* untilInterrupted(
  chunks: AsyncIterable<Buffer>,
  interrupted: AbortSignal,
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    interrupted.throwIfAborted()
    yield chunk
  }
  interrupted.throwIfAborted()
}
