/**
 * The common part of put, get and sync: several files are transferred at a time, a failure is reported while others go
 * on, and the user sees the progress and a sum.
 */
import assert from 'node:assert/strict'
import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { TaskPool } from '../../async/task-pool.js'
import type { MatchingOptions } from '../../dfc/content/matching-bytes.js'
import { sentenceOf } from '../../error-message.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { readDataRange, readRange } from '../local/local-file.js'
import { MountedFolders } from '../mounted-folders.js'
import { reportAbout, type Session, type Status } from '../session.js'
import { Progress } from '../terminal/progress.js'
import { type FileTally, sumText } from '../terminal/tally.js'
import type { Filter } from './filter.js'
import type { Step } from './targets.js'

export interface TransferOptions {
  /** Transfers folders with everything in them. */
  readonly recursive: boolean
  /** Which names in folders are transferred. */
  readonly filter: Filter
  /** The evidence that a file need not be transferred: none, its size and time, or its content. */
  readonly sameBy: 'nothing' | 'time' | 'content'
  /** Keeps what has arrived of a file when fetching it ends early, and goes on with it. */
  readonly resume: boolean
  /** Prints a sum also where there is no terminal. */
  readonly stats: boolean
  /** Names what would be done, and does nothing. */
  readonly dryRun: boolean
  /** Removes what the source has not from the folders that are transferred. */
  readonly deletesOthers: boolean
  /** Draws the progress on a terminal. */
  readonly hasBars: boolean
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

/** How the operands of a transfer are gone through. */
interface Walk {
  /** Tells what is left when the user interrupts, and how to go on. */
  readonly advice: string
  readonly take: (step: Step) => Promise<void>
  /** Counts what `take` will do. It runs beside that. */
  readonly count: (step: Step) => Promise<void>
  /** Called when everything was taken without a failure. */
  readonly finish?: () => Promise<void>
  /** Called at the end, also after a failure. */
  readonly end?: () => void
}

/** A property that copies keep where they can. */
type Kept = 'extended attributes' | 'hard links' | 'owners' | 'set-user-ID and set-group-ID bits'

export class Transfer {
  readonly session: Session
  readonly progress: Progress
  readonly options: TransferOptions
  readonly #pool = new TaskPool(limits.filesInFlightMax)
  /** The only operand. Some sentences about it stand alone. */
  #only: string | undefined
  #isOver = false
  #status: Status = 0
  readonly #notKept = new Set<Kept>()
  /** The numbers on the servers of the folders that operands become. */
  readonly #targets = new Set<number>()
  readonly #mounted: MountedFolders

  constructor(session: Session, options: TransferOptions) {
    this.session = session
    this.options = options
    this.#mounted = new MountedFolders(session.client.cluster)
    this.progress = new Progress(session.output, session.client.cluster.clock, options.hasBars)
  }

  /** Takes every step. */
  run(steps: readonly Step[], walk: Walk): Promise<Status> {
    return this.session.output.advising(walk.advice, () => this.#run(steps, walk))
  }

  async #run(steps: readonly Step[], { take, count, finish, end }: Walk): Promise<Status> {
    this.#only = steps.length === 1 ? steps[0]?.source : undefined
    if (this.progress.isWatched) void this.#count(steps, count)
    try {
      for (const step of steps) await this.attempt(step.source, () => take(step))
      await this.#pool.finish()
      this.session.interrupted.throwIfAborted()
      if (this.#status === 0) await finish?.()
      return this.#status
    } finally {
      this.#isOver = true
      this.progress.stop()
      end?.()
      this.#saySum(steps)
    }
  }

  /** Notes the folder on the servers that an operand becomes. */
  fills(ino: number): void {
    this.#targets.add(ino)
  }

  /** Notes the local folder that an operand becomes. */
  async fillsLocal({ dev, ino }: BigIntStats): Promise<void> {
    if (await this.#mounted.mayBeOn(dev)) this.fills(Number(ino))
  }

  /** Throws as `assertNotTarget` does, about a local folder. */
  async assertLocalNotTarget({ dev, ino }: BigIntStats): Promise<void> {
    if (this.#targets.has(Number(ino)) && (await this.#mounted.mayBeOn(dev))) {
      this.assertNotTarget(Number(ino))
    }
  }

  /** Throws when a folder on the servers is one that is being filled: copying it into itself would not end. */
  assertNotTarget(ino: number): void {
    if (!this.#targets.has(ino)) return
    throw new DfsError('invalid', 'is the target itself, which is in what is copied; left out')
  }

  /** Counts something by `action`. What cannot be looked at is not counted; it fails when its turn comes. */
  async count(action: () => Promise<void>): Promise<void> {
    if (this.#isOver || this.session.interrupted.aborted) return
    try {
      await action()
    } catch (error) {
      debugDfc('counting: %o', error)
    }
  }

  /** Runs `action`, and reports its failure under `name`. */
  async attempt(name: string, action: () => Promise<void>): Promise<void> {
    if (this.session.interrupted.aborted) return
    try {
      await action()
    } catch (error) {
      if (this.session.interrupted.aborted) return
      this.failed(name, error)
    }
  }

  /** Reports a failure about `name`. */
  failed(name: string, error: unknown): void {
    reportAbout(this.session, name, error, name === this.#only && !this.options.recursive)
    this.progress.tally.failed()
    this.#status = 1
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

  /** Runs `action`, or names it when nothing is to be done. Returns undefined then. */
  async act<T>(what: string, name: string, action: () => Promise<T>): Promise<T | undefined> {
    if (!this.options.dryRun) return await action()
    this.session.output.print(`${what} ${this.session.output.name(name)}`)
    return undefined
  }

  /** Reads a copy that is compared. What is read counts as done until it turns out that they differ. */
  copyIn(file: FileHandle, tally: FileTally): Pick<MatchingOptions, 'readCopy' | 'readData'> {
    const { interrupted } = this.session
    const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of untilInterrupted(chunks, interrupted)) {
        tally.found(chunk.length)
        yield chunk
      }
    }
    return {
      readCopy: (at, length) => counted(readRange(file, at, length)),
      readData: (at, length) => counted(readDataRange(file, at, length)),
    }
  }

  /** Says, once for each kind, what the copies of `name` and perhaps of others do not keep. */
  notKept(kind: Kept, name: string, error: unknown): void {
    debugDfc('%s of %s: %o', kind, name, error)
    if (this.#notKept.has(kind)) return
    this.#notKept.add(kind)
    const sentence = `its ${kind} are not kept, and perhaps not those of others`
    this.session.output.problem(`${name}: ${sentence}: ${sentenceOf(error)}`)
  }

  async #count(steps: readonly Step[], count: (step: Step) => Promise<void>): Promise<void> {
    for (const step of steps) await this.count(() => count(step))
    this.progress.tally.counted()
  }

  #saySum(steps: readonly Step[]): void {
    const { output } = this.session
    const isMany = steps.length > 1 || this.options.recursive || this.progress.wasShown
    const isWanted = this.options.stats || (output.bars !== undefined && isMany)
    if (isWanted && !this.options.dryRun) output.say(sumText(this.progress.tally.sum))
  }
}

/** Yields the chunks of a file. Throws when the user interrupts. */
export async function* untilInterrupted<T>(
  chunks: AsyncIterable<T>,
  interrupted: AbortSignal,
): AsyncGenerator<T> {
  for await (const chunk of chunks) {
    interrupted.throwIfAborted()
    yield chunk
  }
  interrupted.throwIfAborted()
}
