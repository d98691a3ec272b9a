/**
 * The common part of put and get: several files are transferred at a time, a failure is reported while others go on,
 * and the user sees the progress.
 */

import { TaskPool } from '../../async/task-pool.js'
import { limits } from '../../limits.js'
import { reportAbout, type Session, type Status } from '../session.js'
import { Progress } from '../terminal/progress.js'
import type { Step } from './targets.js'

export interface TransferOptions {
  /** Transfers folders with everything in them. */
  readonly recursive: boolean
}

/** A folder whose mode and time are set at the end, because adding to it would change them. */
interface OpenFolder {
  readonly name: string
  readonly finish: () => Promise<void>
}

export class Transfer {
  readonly session: Session
  readonly progress: Progress
  readonly #pool = new TaskPool(limits.filesInFlightMax)
  readonly #openFolders: OpenFolder[] = []
  #alone = false
  #status: Status = 0

  constructor(session: Session) {
    this.session = session
    this.progress = new Progress(session.output, session.client.cluster.clock)
  }

  /** Takes every step, then closes the folders, the innermost first. */
  async run(steps: readonly Step[], take: (step: Step) => Promise<void>): Promise<Status> {
    this.#alone = steps.length === 1
    try {
      for (const step of steps) await this.attempt(step.source, () => take(step))
      await this.#pool.finish()
      for (const { name, finish } of this.#openFolders.reverse()) await this.attempt(name, finish)
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

  /** Runs `action` beside others, and reports its failure under `name`. Resolves once it has begun. */
  inLane(name: string, action: () => Promise<void>): Promise<void> {
    return this.#pool.start(() => this.attempt(name, action))
  }

  /** Runs `finish` when everything in the folder is there. */
  whenFilled(name: string, finish: () => Promise<void>): void {
    this.#openFolders.push({ name, finish })
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
