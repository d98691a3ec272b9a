/**
 * The server's side of fills, repairs and sweeps: what this account has and lacks, and what others
 * bring it. docs/decisions/0001 and 0011 have the reasons.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { limits } from '../../limits.js'
import type { Reply, Request } from '../../wire/messages.js'
import type { Key } from '../../wire/records.js'
import { noVersion } from '../../wire/version.js'
import type { AccountIndex } from '../index/account-index.js'
import type { AccountState } from './account-state.js'
import type { TransactionTable } from './transaction-table.js'
import { assertValue } from './well-formed.js'

export class Repair {
  readonly #index: AccountIndex
  readonly #accountState: AccountState
  readonly #transactions: TransactionTable

  constructor(index: AccountIndex, accountState: AccountState, transactions: TransactionTable) {
    this.#index = index
    this.#accountState = accountState
    this.#transactions = transactions
  }

  // -- what is here ------------------------------------------------------------------------------

  records({ after, undecidedOnly, limit }: Request<'records'>): Reply<'records'> {
    const wanted = Math.min(limit, limits.surveyEntriesMax)
    const records = this.#index.records
      .after(after, undecidedOnly, wanted)
      .map(({ id, commit }) => ({
        id,
        state: commit === null ? 'undecided' : commit ? 'committed' : 'aborted',
      })) satisfies Reply<'records'>['records']
    return {
      stamp: this.#accountState.stamp(),
      floor: this.#accountState.floor,
      records,
      more: records.length === wanted,
    }
  }

  changes({ afterVersion, afterKey, withValues, limit }: Request<'changes'>): Reply<'changes'> {
    const wanted = Math.min(limit, limits.surveyEntriesMax)
    const { registers: changed, more } = this.#index.registers.changes(
      afterVersion,
      afterKey,
      wanted,
    )
    if (!withValues) {
      const registers = changed.map(({ key, version }) => ({ key, version, value: null }))
      const checksums = changed.map(({ checksum }) => checksum)
      return { stamp: this.#accountState.stamp(), registers, checksums, more }
    }
    let total = 0
    const fitting = changed.findIndex(({ bytes }) => {
      total += bytes + 128
      return total > limits.listBytesMax
    })
    const page = fitting === -1 ? changed : changed.slice(0, Math.max(1, fitting))
    assert(page.length > 0 || wanted === 0 || !more, 'an empty page begins where it ends')
    const registers = page.map(({ key, version }) => {
      const { value } = this.#index.registers.get(key)
      return { key, version, value }
    })
    const checksums = page.map(({ checksum }) => checksum)
    return { stamp: this.#accountState.stamp(), registers, checksums, more: fitting !== -1 || more }
  }

  /** Sums up the registers that `changes` lists for the same fields: one digest of them all. */
  changesDigest(request: Request<'changesDigest'>): Reply<'changesDigest'> {
    const { afterVersion, afterKey } = request
    const wanted = Math.min(request.limit, limits.surveyEntriesMax)
    const { registers, more } = this.#index.registers.changes(afterVersion, afterKey, wanted)
    // No key has a zero byte.
    const lines = registers.map(({ version, key, checksum }) => `${version}${key}\0${checksum}\0`)
    const last = registers.at(-1)
    return {
      stamp: this.#accountState.stamp(),
      count: registers.length,
      digest: createHash('md5').update(lines.join('')).digest('hex'),
      lastVersion: last?.version ?? afterVersion,
      lastKey: last?.key ?? afterKey,
      more,
    }
  }

  /** Lists registers that have rotted here, for a repair to bring them back: see docs/decisions/0011. */
  rotten({ limit }: Request<'rotten'>): Reply<'rotten'> {
    const keys: Key[] = []
    for (const key of this.#index.registers.rottenKeys()) {
      if (keys.length >= Math.min(limit, limits.readKeysMax)) break
      if (this.#transactions.locks.holder(key) === undefined) keys.push(key)
    }
    return {
      stamp: this.#accountState.stamp(),
      keys,
      mark: this.#transactions.rotMark,
      floor: this.#accountState.floor,
    }
  }

  orphans({ before, limit }: Request<'orphans'>): Reply<'orphans'> {
    const inos = this.#index.registers.orphans(before, Math.min(limit, limits.readKeysMax))
    return { stamp: this.#accountState.stamp(), inos }
  }

  // -- what others bring -------------------------------------------------------------------------

  install({ registers }: Request<'install'>): Reply<'install'> {
    for (const { key, value } of registers) assertValue(key, value)
    // Where something is from the future already, what was made with it comes as well.
    for (const { version } of registers) {
      if (this.#accountState.isAhead(version)) {
        this.#accountState.assertNotAhead(version, this.#index.registers.newest())
      }
    }
    for (const { key, version, value } of registers) this.#transactions.set(key, version, value)
    return { stamp: this.#accountState.stamp() }
  }

  restore({ register, mark, floor }: Request<'restore'>): Reply<'restore'> {
    const { key, version, value } = register
    assertValue(key, value)
    const isUntouched =
      mark === this.#transactions.rotMark &&
      floor === this.#accountState.floor &&
      this.#transactions.locks.holder(key) === undefined
    const here = this.#index.registers.whole(key)
    const isLost = here === undefined || (here.version === noVersion && version <= floor)
    const restored = isUntouched && isLost
    if (restored) this.#index.registers.restore(key, version, value)
    return { stamp: this.#accountState.stamp(), restored }
  }

  /** Notes decisions whose effect was installed before: only the record of them is missing here. */
  mark({ decisions }: Request<'mark'>): Reply<'mark'> {
    for (const { id, commit } of decisions) this.#transactions.mark(id, commit)
    return { stamp: this.#accountState.stamp() }
  }

  // -- fills and sweeps --------------------------------------------------------------------------

  epoch({ epoch }: Request<'epoch'>): Reply<'epoch'> {
    this.#accountState.raiseEpoch(epoch)
    return { stamp: this.#accountState.stamp() }
  }

  fence({ fence, agreed }: Request<'fence'>): Reply<'fence'> {
    if (!agreed) this.#accountState.assertNotAhead(fence)
    else this.#accountState.takeFenceBack(fence)
    this.#accountState.raiseFence(fence)
    return { stamp: this.#accountState.stamp() }
  }

  /**
   * Raises the floor. Refused when the account has begun anew since the incarnation was read, or a transaction
   * up to it may still commit.
   */
  raiseFloor({ floor, incarnation }: Request<'floor'>): Reply<'floor'> {
    this.#accountState.assertNotAhead(floor)
    const open = this.#transactions.undecidedUpTo(floor)
    if (
      incarnation !== this.#accountState.incarnation ||
      open.some(({ yes, everCommit }) => yes || everCommit)
    ) {
      return { stamp: this.#accountState.stamp(), raised: false }
    }
    if (floor > this.#accountState.floor) {
      this.#accountState.raiseFloor(floor)
      this.#index.dropUpTo(floor)
      this.#transactions.forget(open)
    }
    return { stamp: this.#accountState.stamp(), raised: true }
  }

  fillStart({ epoch, incarnation }: Request<'fillStart'>): Reply<'fillStart'> {
    const started = this.#accountState.startFill(epoch, incarnation)
    return {
      stamp: { ...this.#accountState.stamp(), epoch: this.#accountState.fillEpoch },
      started,
    }
  }

  fill({ epoch, registers, decisions }: Request<'fill'>): Reply<'fill'> {
    this.#accountState.assertFilling(epoch)
    for (const { key, value } of registers) assertValue(key, value)
    for (const { key, version, value } of registers) this.#transactions.set(key, version, value)
    for (const { id, commit } of decisions) this.#transactions.mark(id, commit)
    return { stamp: this.#accountState.stamp() }
  }

  fillEnd({ epoch, floor, fence }: Request<'fillEnd'>): Reply<'fillEnd'> {
    this.#accountState.assertFilling(epoch)
    this.#accountState.endFill(epoch, floor, fence)
    assert(this.#accountState.floor >= floor && this.#accountState.epoch >= epoch)
    return { stamp: this.#accountState.stamp() }
  }
}
