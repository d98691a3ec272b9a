/**
 * Judges what clients answered before it was stored: that each change was stored as it was answered, once and in that
 * order, or given up for a reason and with its content kept; and that its client, and others whom it should have
 * waited for, saw it from the answer on.
 */
import type { Content } from '../../src/dfc/content/content.js'
import {
  decodeInode,
  entryKey,
  inodeKey,
  type Key,
  parseKey,
  type RegisterWrite,
  type Transaction,
} from '../../src/wire/records.js'
import type { Version } from '../../src/wire/version.js'
import { nameOf, type Operation } from './history.js'
import type { Machine, Promised } from './promises.js'
import type { Seen } from './tap.js'

export interface PromiseEvidence {
  readonly operations: readonly Operation[]
  readonly transactions: ReadonlyMap<Version, Seen>
  readonly machines: readonly Machine[]
  /** When clients crashed, by their names. */
  readonly crashedMs: ReadonlyMap<string, number>
  readonly bytesOf: (content: Content) => Buffer | undefined
}

/** What became of a promise. */
export interface Fate {
  readonly promise: Promised
  /** The transaction that stored it; absent: it was given up. */
  readonly stored: Seen | undefined
}

type Report = (text: string) => void

/** Changes that were answered, by machine and in the order of their answers, with what became of them. */
export class Fates {
  readonly #all = new Map<Machine, readonly Fate[]>()
  readonly #evidence: PromiseEvidence
  /** In which order transactions were sent for the first time. */
  readonly #order = new Map<Version, number>()

  constructor(evidence: PromiseEvidence) {
    this.#evidence = evidence
    for (const id of evidence.transactions.keys()) this.#order.set(id, this.#order.size)
    for (const machine of evidence.machines) this.#all.set(machine, this.#fatesOn(machine))
  }

  get all(): readonly Fate[] {
    return [...this.#all.values()].flat()
  }

  /** The registers that the changes write. */
  get keys(): readonly Key[] {
    return this.all.flatMap(({ promise }) => promise.entry.body.writes.map(({ key }) => key))
  }

  /** Returns what the client of an operation had answered for this register before the operation began, or during it. */
  of(operation: Operation, key: Key): readonly Fate[] {
    const fates = this.#all.get(this.#machineOf(operation) as Machine) ?? []
    return fates.filter(
      ({ promise: { entry, atMs } }) =>
        atMs <= operation.endMs && entry.body.writes.some((write) => write.key === key),
    )
  }

  check(report: Report): void {
    for (const [machine, fates] of this.#all) {
      checkWhole(fates, report)
      this.#checkOrder(fates, report)
      this.#checkDirect(machine, fates, report)
      this.#checkGivenUp(machine, fates, report)
      const left = machine.left.length
      if (left > 0)
        report(`${[...machine.clients].join()}: ${left} changes are left in the journal`)
    }
  }

  #crashedMs(client: string): number {
    return this.#evidence.crashedMs.get(client) ?? Number.NEGATIVE_INFINITY
  }

  #machineOf({ client }: Pick<Operation, 'client'>): Machine | undefined {
    const name = client.split('.')[0] ?? ''
    return this.#evidence.machines.find(({ clients }) => clients.has(name))
  }

  #fatesOn({ promises, clients, renewed }: Machine): readonly Fate[] {
    const used = new Set(promises.map(({ entry }) => entry.id))
    const again = new Map<Version, Seen | undefined>()
    return promises.map((promise, at) => {
      const { id, body } = promise.entry
      const whole = this.#evidence.transactions.get(id)
      if (whole?.isCommitted === true) return { promise, stored: whole }
      if (promise.isLost) return { promise, stored: undefined }
      const rest = renewed.has(id) ? this.#restOf(promises, id) : undefined
      if (rest !== undefined) return { promise, stored: rest }
      const next = promises.slice(at).find(({ entry }) => entry.id !== id)
      const before = this.#orderOf(next?.entry.id)
      const storing = (writes: readonly RegisterWrite[]): Seen | undefined =>
        [...this.#evidence.transactions.values()].find(
          (seen) =>
            seen.isCommitted === true &&
            clients.has(seen.client) &&
            !used.has(seen.id) &&
            this.#orderOf(seen.id) < before &&
            seen.firstSentMs >= promise.atMs &&
            seen.body !== undefined &&
            areSameWrites(seen.body.writes, writes),
        )
      // A batch that was refused is tried again under another id, or each change of it by itself.
      if (!again.has(id)) again.set(id, storing(writesOf(promises, id)))
      const stored = again.get(id) ?? storing(body.writes)
      if (stored !== undefined) used.add(stored.id)
      return { promise, stored }
    })
  }

  /** The transaction that has stored what was left of the one answered under `id` after the machine had lost its power. */
  #restOf(promises: readonly Promised[], id: Version): Seen | undefined {
    const wanted = writesOf(promises, id)
    return [...this.#evidence.transactions.values()].find(
      ({ isCommitted, body }) => isCommitted === true && areSameWrites(body?.writes ?? [], wanted),
    )
  }

  #orderOf(id: Version | undefined): number {
    return (id === undefined ? undefined : this.#order.get(id)) ?? Number.POSITIVE_INFINITY
  }

  /** When a change was sent first, by the order of transactions: under the id that it was answered with, if it was. */
  #sentOf({ promise, stored }: Fate): number {
    const { entry } = promise
    return this.#order.get(entry.id) ?? this.#orderOf(this.#renewedAs(promise) ?? stored?.id)
  }

  /** The id of the first attempt to store a change, with what was answered together with it or alone, under a new id. */
  #renewedAs({ machine, entry, atMs }: Promised): Version | undefined {
    const wanted = [writesOf(machine.promises, entry.id), entry.body.writes]
    return [...this.#evidence.transactions.values()].find(
      ({ client, firstSentMs, body }) =>
        machine.clients.has(client) &&
        firstSentMs >= atMs &&
        wanted.some((writes) => areSameWrites(body?.writes ?? [], writes)),
    )?.id
  }

  /** What was answered first is sent first, and stored first. */
  #checkOrder(fates: readonly Fate[], report: Report): void {
    let last: Fate | undefined
    for (const fate of fates) {
      const { promise, stored } = fate
      if (promise.isLost) continue
      if (last !== undefined && this.#sentOf(fate) < this.#sentOf(last)) {
        report(`${describe(promise)} was sent before ${describe(last.promise)}`)
      }
      if (stored === undefined) continue
      if (
        last?.stored !== undefined &&
        this.#orderOf(stored.id) < this.#orderOf(last.stored.id) &&
        !mayBeTriedAgain(last, fate)
      ) {
        report(`${describe(promise)} was stored before ${describe(last.promise)}`)
      }
      last = fate
    }
  }

  /** What is stored before it is answered does not overtake what was answered before it began. */
  #checkDirect(machine: Machine, fates: readonly Fate[], report: Report): void {
    const ids = new Set(fates.flatMap(({ stored, promise }) => [stored?.id, promise.entry.id]))
    for (const operation of this.#evidence.operations) {
      if (!operation.isChange || this.#machineOf(operation) !== machine) continue
      const { transactions } = this.#evidence
      const own = operation.transactions.filter(
        (id) => !ids.has(id) && transactions.get(id)?.isCommitted === true,
      )
      const before = fates.findLast(
        ({ promise: { atMs, isLost } }) => atMs < operation.startMs && !isLost,
      )
      const overtaking = own.find(
        (id) => before !== undefined && this.#orderOf(id) < this.#sentOf(before),
      )
      if (before !== undefined && overtaking !== undefined) {
        report(`${nameOf(operation)} overtook ${describe(before.promise)} with ${overtaking}`)
      }
    }
  }

  #checkGivenUp(machine: Machine, fates: readonly Fate[], report: Report): void {
    const gone: Promised[] = []
    for (const [at, { promise, stored }] of fates.entries()) {
      const { file, body } = promise.entry
      const inode = body.writes.find(({ key }) => file !== undefined && key === inodeKey(file.ino))
      const isKept = machine.kept.some(
        (kept) =>
          kept.ino === file?.ino &&
          inode?.value != null &&
          contentOf(kept.inode) === contentOf(decodeInode(inode.value)) &&
          this.#evidence.bytesOf(kept.inode)?.equals(kept.bytes) === true,
      )
      if (stored !== undefined || promise.isLost) continue
      // The client itself has removed the file afterwards, and it is gone or never was.
      const isRemoved =
        inode !== undefined &&
        fates.slice(at + 1).some((later) => deletes(later.promise.entry.body, inode.key)) &&
        this.#isGone(inode.key)
      if (inode?.value != null && !isKept && !isRemoved)
        report(`${describe(promise)}: its content is not kept`)
      // A client that dies before it could say so has left it in its log, and in the folder for such contents.
      const isMute = [...machine.clients].some((client) => this.#crashedMs(client) >= promise.atMs)
      const isTold = promise.operation?.outcome !== 'ok'
      // Another client has done the same: nothing is missing, and nothing is to be told.
      const isDone = this.#isDoneByOther(promise)
      if (!isTold && !isMute && !isDone)
        report(`${describe(promise)} is not stored, and nobody was told`)
      const isExcused = gone.some(({ entry }) => haveCommon(entry.body, body))
      if (!isExcused && !this.#hasCause(promise)) {
        report(`${describe(promise)} was given up without a cause`)
      }
      gone.push(promise)
    }
  }

  /** Whether the register has no value in the end. */
  #isGone(key: Key): boolean {
    const writers = [...this.#evidence.transactions.values()].filter(
      ({ isCommitted, body }) =>
        isCommitted === true && body?.writes.some((write) => write.key === key) === true,
    )
    const last = writers.reduce<Seen | undefined>(
      (latest, one) => (latest === undefined || one.id > latest.id ? one : latest),
      undefined,
    )
    return last === undefined || deletes(last.body, key)
  }

  /**
   * Whether other clients have written all that the change writes after it was answered, in one step or in several: a file
   * that is open loses its name first.
   */
  #isDoneByOther({ machine, entry, atMs }: Promised): boolean {
    const others = [...this.#evidence.transactions.values()].filter(
      ({ isCommitted, firstSentMs, client }) =>
        isCommitted === true && firstSentMs >= atMs && !machine.clients.has(client),
    )
    return entry.body.writes.every((write) =>
      others.some(({ body }) => body?.writes.some((other) => areSameWrites([other], [write]))),
    )
  }

  /** Whether another client began to change what the change relies on after it was answered. */
  #hasCause({ machine, entry, atMs }: Promised): boolean {
    const reliedOn = new Set(entry.body.preconditions.map(({ key }) => key))
    const folders = entry.body.emptyFolders.map((folder) => entryKey(folder, ''))
    return [...this.#evidence.transactions.values()].some(
      ({ isCommitted, firstSentMs, client, body }) =>
        isCommitted === true &&
        firstSentMs >= atMs &&
        !machine.clients.has(client) &&
        body?.writes.some(
          ({ key }) => reliedOn.has(key) || folders.some((folder) => key.startsWith(folder)),
        ) === true,
    )
  }
}

function deletes(body: Transaction | undefined, wanted: Key): boolean {
  return body?.writes.some(({ key, value }) => key === wanted && value === null) === true
}

/** A transaction of several changes leaves the registers as they would. */
/**
 * Whether `first` can be stored after `second`, which was answered after it under the same id: a client gives up the first
 * of them, stores the second, and dies before all are done. The next one tries each of them once more.
 */
function mayBeTriedAgain(first: Fate, second: Fate): boolean {
  return (
    first.promise.entry.id === second.promise.entry.id &&
    first.stored?.client !== second.stored?.client
  )
}

function checkWhole(fates: readonly Fate[], report: Report): void {
  const wanted = new Map<Seen, Map<Key, Buffer | null>>()
  for (const { promise, stored } of fates) {
    if (stored === undefined) continue
    const writes = wanted.get(stored) ?? new Map()
    for (const { key, value } of promise.entry.body.writes) writes.set(key, value)
    wanted.set(stored, writes)
  }
  for (const [{ id, body }, writes] of wanted) {
    const asked = [...writes].map(([key, value]) => ({ key, value }))
    if (!areSameWrites(body?.writes ?? [], asked))
      report(`${id} stored something else than was answered`)
  }
}

function areSameWrites(a: readonly RegisterWrite[], b: readonly RegisterWrite[]): boolean {
  const values = new Map(a.map(({ key, value }) => [key, value]))
  return (
    a.length === b.length &&
    b.every(({ key, value }) => {
      const other = values.get(key)
      return other === null || other === undefined ? other === value : value?.equals(other) === true
    })
  )
}

function haveCommon(a: Transaction, b: Transaction): boolean {
  const keys = new Set([...a.writes, ...a.preconditions].map(({ key }) => key))
  const folders = new Set(a.emptyFolders)
  return (
    [...b.writes, ...b.preconditions].some(({ key }) => {
      const parsed = parseKey(key)
      return keys.has(key) || (parsed.kind === 'entry' && folders.has(parsed.parent))
    }) ||
    b.emptyFolders.some((folder) => [...keys].some((key) => key.startsWith(entryKey(folder, ''))))
  )
}

function contentOf({ size, segments, extents }: Content): string {
  return JSON.stringify([size, segments.map(({ id }) => id), extents])
}

export function describe({ client, entry, operation }: Promised): string {
  const about =
    operation === undefined ? entry.body.writes.map(({ key }) => key).join() : nameOf(operation)
  return `${client}: ${about}, answered as ${entry.id},`
}

/** What the changes write together that were answered under `id`, and are not lost. */
function writesOf(promises: readonly Promised[], id: Version): readonly RegisterWrite[] {
  const writes = new Map<Key, Buffer | null>()
  for (const { entry, isLost } of promises) {
    if (entry.id !== id || isLost) continue
    for (const { key, value } of entry.body.writes) writes.set(key, value)
  }
  return [...writes].map(([key, value]) => ({ key, value }))
}
