/**
 * With `lies=1` or `lies=2`: what a lying server answers instead of the truth. It knows the protocol and lies to
 * everybody, now and then and differently each time. With 1 it keeps its votes, promises and accepts; with 2 it lies
 * about these as well.
 */
import type { Context } from './context.js'
import type { Answer, Message, Reply, SurveyedRecord } from './messages.js'
import {
  aheadMax,
  type Body,
  type Decision,
  type Key,
  type Register,
  type Version,
  versionAt,
} from './vocabulary.js'
import { keysOf } from './workload.js'

const lieShare = 0.4
const farFuture = 50_000
const hugeEpoch = Number.MAX_SAFE_INTEGER
/** The writer of what never was written. */
const inventor = 15

export class Liar {
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  /** The reply that a server gives instead of an honest one. */
  distort(message: Message, honest: Reply): Reply {
    const { chance } = this.#context
    if (!chance.happens(lieShare)) return honest
    const reply = { ...honest, ...this.#lieTo(message, honest) }
    if (chance.happens(0.1)) reply.epoch = hugeEpoch
    if (reply.fence !== undefined && chance.happens(0.2)) reply.fence = this.#anyVersion()
    return reply
  }

  #lieTo(message: Message, honest: Reply): Answer {
    switch (message.kind) {
      case 'read':
        return this.#seen(message.key, honest)
      case 'survey':
        return this.#survey(honest)
      case 'prepare':
        return this.#promise(honest)
      case 'accept':
        if (!this.#liesAboutVotes) return {}
        return this.#oneOf([{ isAccepted: true }, this.#hearsay(honest)])
      case 'commit':
        return this.#vote(honest)
      default:
        return {}
    }
  }

  get #liesAboutVotes(): boolean {
    return this.#context.options.lies > 1
  }

  #seen(key: Key, honest: Reply): Answer {
    if (this.#context.chance.happens(0.2)) return { ...honest, lockedBy: this.#anyVersion() }
    return this.#forged(key, { version: honest.version ?? 0, value: honest.value ?? null })
  }

  /** A register made up, rewritten in place, deleted, or hidden. */
  #forged(key: Key, { version }: Register): Register {
    const value = `lie${this.#context.nextValue()} ${key}`
    return this.#oneOf([
      { version: this.#anyVersion(), value },
      { version: this.#anyVersion(), value: null },
      { version, value },
      { version, value: null },
      { version: 0, value: null },
    ])
  }

  #survey({ records = [], registers, floor = 0 }: Reply): Answer {
    const { chance, options } = this.#context
    const surveyed = records.map((record) =>
      chance.happens(0.3) ? this.#misreported(record) : record,
    )
    if (chance.happens(0.3)) surveyed.push(this.#invented())
    const shown = registers && new Map(registers)
    for (const key of keysOf(options.keys)) {
      if (!shown || !chance.happens(0.4)) continue
      shown.set(key, this.#forged(key, shown.get(key) ?? { version: 0, value: null }))
    }
    const answer = { records: surveyed, floor: this.#oneOf([floor, floor, 0, this.#anyVersion()]) }
    return shown ? { ...answer, registers: shown } : answer
  }

  #misreported(record: SurveyedRecord): SurveyedRecord {
    return {
      ...record,
      decision: this.#anyDecision(),
      body: record.body && this.#otherBody(record.body),
    }
  }

  #invented(): SurveyedRecord {
    const key = `k${this.#context.chance.below(this.#context.options.keys)}`
    const body: Body = {
      writes: new Map([[key, `lie${this.#context.nextValue()}`]]),
      preconditions: new Map([[key, { version: 0, isAbsent: true }]]),
      mustBeEmpty: [],
    }
    return { id: this.#anyVersion(), decision: this.#anyDecision(), body, createdAt: 0 }
  }

  #otherBody(body: Body): Body {
    const writes = [...body.writes.keys()].map((key) => {
      return [key, `lie${this.#context.nextValue()}`] as const
    })
    return { ...body, writes: new Map(writes) }
  }

  #promise(honest: Reply): Answer {
    const lies: Answer[] = [this.#hearsay(honest), { isForgotten: true }]
    if (honest.body) lies.push({ body: this.#otherBody(honest.body) })
    if (this.#liesAboutVotes) {
      const { accepted } = honest
      const ballot = (accepted?.ballot ?? 0) + versionAt(1, inventor)
      lies.push({ isPromised: true, yes: !honest.yes })
      for (const decision of ['commit', 'abort'] as const) {
        const everAcceptedCommit = decision === 'commit'
        lies.push({ isPromised: true, everAcceptedCommit, accepted: { ballot, decision } })
      }
    }
    return this.#oneOf(lies)
  }

  #vote(honest: Reply): Answer {
    const lies: Answer[] = [
      this.#hearsay(honest),
      { refusal: 'conflict', above: this.#anyVersion() },
    ]
    if (this.#liesAboutVotes) lies.push({ yes: true })
    return honest.yes && !this.#liesAboutVotes ? this.#hearsay(honest) : this.#oneOf(lies)
  }

  /** A decision that nobody has made. */
  #hearsay({ decision }: Reply): Answer {
    return { decision: decision === 'commit' ? 'abort' : this.#anyDecision() }
  }

  #anyDecision(): Decision | undefined {
    return this.#oneOf(['commit', 'abort', undefined] as const)
  }

  /** A version of the past, of just now, of the near or of the far future. */
  #anyVersion(): Version {
    const { events, chance } = this.#context
    const { now } = events
    const time = this.#oneOf([
      chance.below(now + 1),
      now,
      now + chance.below(aheadMax),
      now + farFuture,
    ])
    return versionAt(time, inventor)
  }

  #oneOf<Kind>(choices: readonly Kind[]): Kind {
    const chosen = choices[this.#context.chance.below(choices.length)]
    if (chosen === undefined && choices.length === 0) throw new RangeError('no choice')
    return chosen as Kind
  }
}
