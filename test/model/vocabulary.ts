/** The words of docs/decisions/0001 as types, and the few numbers that all parts of the model share. */
import { limits } from '../../src/limits.js'
import { quorum } from '../../src/wire/quorum.js'

/** The name of a register. */
export type Key = string

/** The value of a register; null is a tombstone, or nothing at all. */
export type Value = string | null

/** A time in ticks and the number of a client, as one number: the order of versions is that of times. */
export type Version = number

/** A transaction is named by the version that it writes. */
export type TransactionId = Version

export type Decision = 'commit' | 'abort'

export interface Register {
  readonly version: Version
  readonly value: Value
}

/** What a transaction has read of a key: this version, or that there is no live value. */
export interface Precondition {
  readonly version: Version
  readonly isAbsent: boolean
}

/** A transaction without its id. Every written key has a precondition. */
export interface Body {
  readonly writes: ReadonlyMap<Key, Value>
  readonly preconditions: ReadonlyMap<Key, Precondition>
  /** Keys that must have no live value when the transaction is done, like the entries of a removed folder. */
  readonly mustBeEmpty: readonly Key[]
}

/** A transaction as a server tells of it, and as its client knows it. */
export interface Transaction {
  readonly id: TransactionId
  readonly body: Body
}

export const { serverCount } = limits

/** Ticks that a client waits for the answers of a round. */
export const roundTimeout = 60

const clientsMax = 16

/** A version at `time` by the client of this number. */
export function versionAt(time: number, client: number): Version {
  return time * clientsMax + client
}

export function timeOf(version: Version): number {
  return Math.floor(version / clientsMax)
}

/** A ballot above all earlier ones of the same round, and different for each client. */
export const ballotAt = versionAt
export const roundOf = timeOf

/** The register of a key that was never written. */
export const nothing: Register = { version: 0, value: null }

/** The register with the highest version; the first of those that are equal. */
export function newest<Kind extends { readonly version: Version }>(
  registers: readonly [Kind, ...Kind[]],
): Kind {
  return registers.reduce((best, register) => (register.version > best.version ? register : best))
}

/** The newest register that enough of these copies show, value and all; undefined where no two agree. */
export function newestConfirmed(copies: readonly Register[]): Register | undefined {
  return copies
    .filter((copy) => copies.filter((other) => isSame(copy, other)).length >= quorum.believe)
    .reduce<Register | undefined>(
      (best, copy) => (best && best.version >= copy.version ? best : copy),
      undefined,
    )
}

function isSame(one: Register, other: Register): boolean {
  return one.version === other.version && one.value === other.value
}

/** The second highest of what servers tell: a single one may lie. */
export function countedFloor(floors: readonly Version[]): Version {
  return [...floors].sort((a, b) => b - a)[quorum.believe - 1] ?? 0
}

/** The highest fence that enough servers have: a single one may be of a server whose clock is ahead (0023). */
export function countedFence(fences: readonly Version[]): Version {
  return [...fences].sort((a, b) => b - a)[quorum.fence - 1] ?? 0
}

/** How far an epoch may be above the second highest and still be believed of a single server (0027). */
const epochLeadMax = 1000

/** The highest epoch that an honest server can have. */
export function believedEpoch(epochs: readonly number[]): number {
  const [highest = 0, second = 0] = [...epochs].sort((a, b) => b - a)
  return timeOf(highest) > timeOf(second) + epochLeadMax ? second : highest
}

/** Ballots above it are no honest server's. */
export const ballotMax = 2 ** 40

/** With `clocks=1`: by how much a clock is wrong, and how far ahead of its own a server accepts. */
export const clockError = 100_000
export const aheadMax = 1000
