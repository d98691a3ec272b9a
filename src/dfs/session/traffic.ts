/** Counters of the requests to a server, by verb, for its metrics. Noting a request is a few additions. */
import { Latencies } from '../../latencies.js'
import type { Reply, Verb } from '../../wire/messages.js'

interface Answered {
  readonly latencies: Latencies
  failures: number
}

interface Call {
  readonly verb: Verb
  readonly cameMs: number
}

export class Traffic {
  readonly verbs = new Map<Verb, Answered>()
  /** Outcomes of votes, by their names in the protocol. */
  readonly votes = new Map<Reply<'commit'>['outcome'], number>()
  receivedBytes = 0
  sentBytes = 0

  /** Notes requests that were answered together, from when they came until now. */
  answered(calls: readonly Call[], parts: readonly Uint8Array[]): void {
    const nowMs = performance.now()
    for (const { verb, cameMs } of calls) this.#of(verb).latencies.note(nowMs - cameMs)
    for (const { length } of parts) this.sentBytes += length
  }

  failed(verb: Verb): void {
    this.#of(verb).failures += 1
  }

  /** Notes a vote, and returns it. */
  voted<R extends Pick<Reply<'commit'>, 'outcome'>>(vote: R): R {
    this.votes.set(vote.outcome, (this.votes.get(vote.outcome) ?? 0) + 1)
    return vote
  }

  #of(verb: Verb): Answered {
    let known = this.verbs.get(verb)
    if (known === undefined) {
      known = { latencies: new Latencies(), failures: 0 }
      this.verbs.set(verb, known)
    }
    return known
  }
}
