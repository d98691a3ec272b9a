/** The requests of clients, and the answers of servers. */
import type {
  Body,
  Decision,
  Key,
  Register,
  Transaction,
  TransactionId,
  Value,
  Version,
} from './vocabulary.js'

/** The vote of a server; it records a yes, and no refusal. */
export interface CommitMessage {
  readonly kind: 'commit'
  readonly id: TransactionId
  readonly body: Body
  /** The epoch that the client knew when it began. */
  readonly epoch: number
  /** Committed transactions whose decision rides along. */
  readonly decided: readonly Transaction[]
  readonly isFirstRound: boolean
}

export interface PrepareMessage {
  readonly kind: 'prepare'
  readonly id: TransactionId
  readonly ballot: number
}

export interface AcceptMessage {
  readonly kind: 'accept'
  readonly id: TransactionId
  readonly ballot: number
  readonly decision: Decision
  readonly body: Body | undefined
}

export interface DecideMessage {
  readonly kind: 'decide'
  readonly id: TransactionId
  readonly decision: Decision
  readonly body?: Body | undefined
  /** True where what the transaction wrote has been installed before: no body is needed then. */
  readonly isInstalled?: boolean
  /** Without the floor: a bit for each server that is known to have the decision. */
  readonly knownBy?: number
}

export interface RestoreMessage extends Register {
  readonly kind: 'restore'
  readonly key: Key
  /** What the server answered to `rotten`. */
  readonly mark: number
}

export interface FillMessage {
  readonly kind: 'fill'
  readonly epoch: number
  readonly registers: readonly (readonly [Key, Register])[]
  /** With the last message of a fill, after which the server votes again. */
  readonly end?: {
    readonly records: readonly SurveyedRecord[]
    readonly floor: Version
    readonly fence: Version
  }
}

export interface RaiseFenceMessage {
  readonly kind: 'raiseFence'
  readonly fence: Version
  /** True if the three others have taken it, or have no fence from the future. */
  readonly isAgreed?: boolean
}

export type Message =
  | CommitMessage
  | PrepareMessage
  | AcceptMessage
  | DecideMessage
  | RestoreMessage
  | FillMessage
  | { readonly kind: 'read'; readonly key: Key }
  /** What a server has voted: asked only where votes are counted instead of ballots held. */
  | { readonly kind: 'vote'; readonly id: TransactionId }
  | ({ readonly kind: 'install'; readonly key: Key } & Register)
  /** Which registers have rotted. */
  | { readonly kind: 'rotten' }
  | { readonly kind: 'survey'; readonly withRegisters: boolean }
  | { readonly kind: 'raiseEpoch'; readonly epoch: number }
  | { readonly kind: 'fillStart'; readonly epoch: number }
  | RaiseFenceMessage
  | { readonly kind: 'raiseFloor'; readonly floor: Version; readonly incarnation: number }

/** Why a server says no. `clock` means too far ahead of its own; `refused` needs no reason. */
export type Refusal =
  | 'clock'
  | 'conflict'
  | 'epoch'
  | 'fence'
  | 'locked'
  | 'notEmpty'
  | 'promised'
  | 'refused'
  | 'stale'

/** A record as a survey tells of it. */
export interface SurveyedRecord {
  readonly id: TransactionId
  readonly decision: Decision | undefined
  readonly body: Body | undefined
  readonly createdAt: number
  /** Merged: one server alone tells of a decision, which others have forgotten. */
  readonly isOver?: boolean
}

/** The answer of a server: of these fields, those that its message asks for. */
export interface Answer {
  readonly isDone?: boolean
  readonly refusal?: Refusal
  /** A version that the client has to exceed. */
  readonly above?: Version
  /** The transaction that holds a conflicting lock. */
  readonly lockedBy?: TransactionId | undefined
  /** The key that is stale or in the way. */
  readonly key?: Key
  /** True if the server has said yes to the transaction. */
  readonly yes?: boolean
  readonly everAcceptedCommit?: boolean
  readonly decision?: Decision | undefined
  readonly body?: Body | undefined
  /** The record is below the floor: it was decided, and nobody knows how. */
  readonly isForgotten?: boolean
  readonly isPromised?: boolean
  /** The ballot that a server has promised to instead. */
  readonly promisedTo?: number
  /** What was accepted before, by which ballot. */
  readonly accepted?: Accepted | undefined
  readonly isAccepted?: boolean
  readonly version?: Version
  readonly value?: Value
  readonly fence?: Version
  readonly floor?: Version
  readonly records?: readonly SurveyedRecord[]
  readonly registers?: ReadonlyMap<Key, Register>
  readonly keys?: readonly Key[]
  readonly mark?: number
  /** The register has rotted: there is no answer. */
  readonly isRotten?: boolean
  /** The epoch of the fill that goes on already. */
  readonly fillEpoch?: number
}

export interface Accepted {
  readonly ballot: number
  readonly decision: Decision
}

/** An answer with what every reply tells of its server. */
export interface Reply extends Answer {
  readonly epoch: number
  readonly incarnation: number
  /** A blank server takes part in nothing. */
  readonly isBlank: boolean
}

/**
 * The replies of a round by server. One that arrives when nobody waits any more still takes its place
 * here, and is seen by whoever looks again.
 */
export type Replies = readonly (Reply | undefined)[]

/** Whether the server has answered and votes. */
export function isVoting(reply: Reply | undefined): reply is Reply {
  return reply !== undefined && !reply.isBlank
}

/** The replies that count: of servers that vote, about registers that they can read. */
export function counted(replies: Replies): readonly Reply[] {
  return replies.filter(isVoting).filter(({ isRotten }) => !isRotten)
}
