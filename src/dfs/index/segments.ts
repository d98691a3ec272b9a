/**
 * The segments of which a piece is here or to which a register refers: how many refer to them, which
 * pieces are here, and which belong here.
 */
import assert from 'node:assert/strict'
import { limits } from '../../limits.js'
import { homeMask, maskOf } from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import { noVersion, type Version } from '../../wire/version.js'
import type { AccountDatabase, Write } from './database.js'
import { nextTurn, type Pause, rowsAtOnce } from './pages.js'
import { heldSum } from './schema.js'
import type { StateTable } from './state.js'

interface SegmentRow {
  readonly segment: string
  readonly length: number
  readonly md5: string
  readonly refs: number
}

interface SummedUpRow extends SegmentRow {
  readonly home: number
  readonly isHeldRight: number
}

/** How many registers refer to a segment. */
export interface Reference {
  readonly segment: Segment
  readonly count: number
}

/** The first half of the digits of an id: ids that a client makes one after the other share it. */
const seriesOf = (segment: string): string => segment.slice(0, 16)

const noDigest = '0'.repeat(32)

export class SegmentTable {
  readonly #db: AccountDatabase
  readonly #state: StateTable
  readonly #position: () => number | null
  readonly #now: () => number
  readonly #statements
  /** The position that what is stored of pieces' homes was worked out for. */
  #homePosition: number | undefined
  /** Of the series of ids that were met lately: nothing is known here of any that is greater. */
  readonly #greatest = new Map<string, string>()

  /** `position` of the server in its cluster, null while it has none; `now` in ms since 1970. */
  constructor(
    db: AccountDatabase,
    state: StateTable,
    position: () => number | null,
    now: () => number,
  ) {
    this.#db = db
    this.#state = state
    this.#position = position
    this.#now = now
    this.#statements = prepare(db)
    db.onRollback(() => {
      this.#homePosition = undefined
    })
  }

  // -- references --------------------------------------------------------------------------------

  /** Notes that a register that referred to `gone` refers to `come`, from `version` on. */
  refer(_: Write, gone: readonly Segment[], come: readonly Segment[], version: Version): void {
    if (gone.length === 0 && come.length === 0) return
    const old = new Set(gone.map(({ id }) => id))
    const now = this.#now()
    for (const { id, length, md5 } of come) {
      if (old.delete(id)) continue
      this.#statements.refer.run(id, length, md5, now, this.#homeOf(length, md5))
      this.#met(id)
    }
    for (const id of old) this.#statements.unrefer.run(version, id)
  }

  /** Releases segments, unless something refers to them: a value that would have was replaced before it came. */
  passOver(segments: readonly Segment[], version: Version): void {
    this.#db.write(() => {
      for (const { id } of segments) this.#statements.passOver.run(version, id)
    })
  }

  /** Puts right how many registers refer to each segment; `references` are all that there are. */
  setReferences(_: Write, references: ReadonlyMap<string, Reference>, version: Version): void {
    const { referred, setReferences, describe } = this.#statements
    for (const { segment, refs } of referred.all() as { segment: string; refs: number }[]) {
      const count = references.get(segment)?.count ?? 0
      if (refs !== count) setReferences.run(count, version, segment)
    }
    for (const { segment, count } of references.values()) {
      assert(count > 0, 'what nothing refers to has no count')
      const { id, length, md5 } = segment
      this.#met(id)
      describe.run(id, count, length, md5, this.#now(), this.#homeOf(length, md5))
    }
  }

  /** Whether a segment is known here with this description, and as referred to. */
  isReferred({ id, length, md5 }: Segment): boolean {
    const known = this.#statements.segmentOf.get(id) as SegmentRow | undefined
    return known?.length === length && known.md5 === md5 && known.refs > 0
  }

  // -- pieces of them ----------------------------------------------------------------------------

  /** Notes that pieces of a segment have come. */
  hold(_: Write, segment: string, pieces: readonly number[]): void {
    assert(pieces.length > 0, 'a segment is known for a piece or a reference')
    this.#statements.holdPieces.run(segment, maskOf(pieces), this.#now())
    this.#met(segment)
  }

  /** Notes that a piece of a segment has gone. */
  unhold(_: Write, segment: string, piece: number): void {
    this.#statements.dropHeld.run(maskOf([piece]), segment)
  }

  /** Sums up anew which pieces of each segment are here. */
  sumUpHeld(_: Write): void {
    this.#statements.sumUpHeld.run()
  }

  /** Whether what is summed up of pieces is right, looked at a little at a time. */
  async areSumsRight(pause: Pause = nextTurn): Promise<boolean> {
    for (let after = ''; ; ) {
      const rows = this.#statements.summedUp.all(after, rowsAtOnce) as SummedUpRow[]
      const isRight = ({ refs, length, md5, home, isHeldRight }: SummedUpRow): boolean =>
        isHeldRight === 1 && (refs <= 0 || home === this.#homeOf(length, md5))
      if (!rows.every(isRight)) return false
      after = rows.at(-1)?.segment ?? after
      if (rows.length < rowsAtOnce) return true
      await pause()
    }
  }

  /** Whether a piece of a segment is here, or a register refers to it. */
  knows(segment: string): boolean {
    const series = seriesOf(segment)
    const greatest = this.#greatest.get(series) ?? this.#greatestOf(series)
    return segment <= greatest && this.#statements.segment.get(segment) !== undefined
  }

  /** A client counts up the ids of its segments: that a new one is new needs no look at the table. */
  #greatestOf(series: string): string {
    const found = this.#statements.greatest.get(series, `${series}g`) as { id: string | null }
    if (this.#greatest.size >= limits.segmentSeriesMax) this.#greatest.clear()
    this.#greatest.set(series, found.id ?? '')
    return found.id ?? ''
  }

  /** Notes that a segment may be known here from now on. */
  #met(segment: string): void {
    const greatest = this.#greatest.get(seriesOf(segment))
    if (greatest !== undefined && segment > greatest) {
      this.#greatest.set(seriesOf(segment), segment)
    }
  }

  /** Whether a register refers to a segment, and just the pieces of it that belong here are here. */
  isPlaced(segment: string): boolean {
    this.#settleHomes()
    return this.#statements.placed.get(segment) !== undefined
  }

  /**
   * Segments behind the id `after`, in order: all, or only those referred to of which other pieces are
   * here than belong here, or of which a piece is lost.
   */
  after(
    after: string,
    misplacedOnly: boolean,
    limit: number,
  ): { readonly segment: Segment; readonly referred: boolean }[] {
    if (misplacedOnly) this.#settleHomes()
    const { misplaced, segments } = this.#statements
    const rows = (
      misplacedOnly ? misplaced.all({ after, limit }) : segments.all(after, limit)
    ) as SegmentRow[]
    return rows.map(({ segment, length, md5, refs }) => ({
      segment: { id: segment, length, md5: md5 === '' ? noDigest : md5 },
      referred: refs > 0,
    }))
  }

  /** The number of segments referred to of which other pieces are here than belong here, up to `segmentsCountedMax`. */
  misplacedTotal(): number {
    this.#settleHomes()
    return this.#statements.misplacedCount.get(limits.segmentsCountedMax) as number
  }

  // -- what is lost for good ---------------------------------------------------------------------

  /** Marks just these pieces as lost, of a segment that is known here. */
  markLost(segment: string, pieces: number): void {
    this.#db.write(() => this.#statements.markLost.run(pieces, segment))
  }

  /** Whether a register refers to a segment, and the bits of its lost pieces. */
  marksOf(segment: string): { readonly referred: boolean; readonly lost: number } {
    const row = this.#statements.marks.get(segment) as { refs: number; lost: number } | undefined
    return { referred: (row?.refs ?? 0) > 0, lost: row?.lost ?? 0 }
  }

  /** The number of segments referred to of which a piece is lost, up to `segmentsCountedMax`. */
  lostTotal(): number {
    return this.#statements.lostCount.get(limits.segmentsCountedMax) as number
  }

  /** Whether a piece of any segment referred to is lost. */
  get isAnyLost(): boolean {
    return this.#statements.someLost.get() === 1
  }

  /** The bits of the pieces that belong here; none while the position of this server is not known. */
  #homeOf(length: number, md5: string): number {
    this.#settleHomes()
    const position = this.#position()
    return position === null ? 0 : homeMask(position, length, md5)
  }

  /**
   * A server learns its position after its first account is opened, and an index of an older program
   * does not say where pieces belong: then that is worked out for all segments.
   */
  #settleHomes(): void {
    const position = this.#position()
    if (position === null || position === this.#homePosition) return
    this.#homePosition = position
    if (this.#state.get('position') === position) return
    this.#db.write(() => {
      this.#statements.setHomes.run(position)
      this.#state.set('position', position)
    })
  }

  /**
   * Segments that nothing refers to: those whose last reference went by a version up to `released`,
   * and those never referred to that came before `abandonedMs` (since 1970).
   */
  dead(released: Version, abandonedMs: number, limit: number): string[] {
    const { released: gone, abandoned } = this.#statements
    const rows = [...gone.all(released, limit), ...abandoned.all(Math.floor(abandonedMs), limit)]
    return (rows as { segment: string }[]).map(({ segment }) => segment)
  }

  /** Forgets a dead segment; its pieces must have been removed. */
  forget(segment: string): void {
    this.#db.write(() => this.#statements.forgetSegment.run(segment))
  }
}

function prepare(db: AccountDatabase) {
  db.define('home_mask', (position, length, md5) =>
    homeMask(position as number, length as number, md5 as string),
  )
  return {
    refer: db.prepare(`
      INSERT INTO segments VALUES (?, 1, 0, ?, ?, '${noVersion}', ?, ?, 0)
      ON CONFLICT (segment) DO UPDATE SET
        refs = refs + 1, length = excluded.length, md5 = excluded.md5, home = excluded.home`),
    unrefer: db.prepare('UPDATE segments SET refs = refs - 1, released = ? WHERE segment = ?'),
    passOver: db.prepare(
      'UPDATE segments SET released = max(released, ?) WHERE segment = ? AND refs = 0',
    ),
    referred: db.prepare('SELECT segment, refs FROM segments WHERE refs <> 0'),
    setReferences: db.prepare(
      'UPDATE segments SET refs = ?, released = max(released, ?) WHERE segment = ?',
    ),
    describe: db.prepare(`
      INSERT INTO segments VALUES (?, ?, 0, ?, ?, '${noVersion}', ?, ?, 0)
      ON CONFLICT (segment) DO UPDATE SET
        refs = excluded.refs, length = excluded.length, md5 = excluded.md5, home = excluded.home`),
    segmentOf: db.prepare('SELECT segment, length, md5, refs FROM segments WHERE segment = ?'),
    holdPieces: db.prepare(`
      INSERT INTO segments VALUES (?, 0, ?, 0, '', '${noVersion}', ?, 0, 0)
      ON CONFLICT (segment) DO UPDATE SET
        held = held | excluded.held, lost = lost & ~excluded.held`),
    dropHeld: db.prepare('UPDATE segments SET held = held & ~? WHERE segment = ?'),
    sumUpHeld: db.prepare(`UPDATE segments SET held = ${heldSum}`),
    summedUp: db.prepare(`
      SELECT segment, length, md5, refs, home, held = ${heldSum} AS isHeldRight
      FROM segments WHERE segment > ? ORDER BY segment LIMIT ?`),
    segment: db.prepare('SELECT 1 FROM segments WHERE segment = ?').pluck(),
    greatest: db.prepare(
      'SELECT max(segment) AS id FROM segments WHERE segment >= ? AND segment < ?',
    ),
    placed: db
      .prepare('SELECT 1 FROM segments WHERE segment = ? AND refs > 0 AND held = home')
      .pluck(),
    segments: db.prepare(`
      SELECT segment, length, md5, refs FROM segments WHERE segment > ? ORDER BY segment LIMIT ?`),
    // Two indexes, a page of each, in one order.
    misplaced: db.prepare(`
      SELECT * FROM (
        SELECT segment, length, md5, refs FROM segments
        WHERE refs > 0 AND held <> home AND segment > $after ORDER BY segment LIMIT $limit)
      UNION
      SELECT * FROM (
        SELECT segment, length, md5, refs FROM segments
        WHERE refs > 0 AND lost <> 0 AND segment > $after ORDER BY segment LIMIT $limit)
      ORDER BY segment LIMIT $limit`),
    misplacedCount: db
      .prepare(`
        SELECT count(*) FROM (SELECT 1 FROM segments WHERE refs > 0 AND held <> home LIMIT ?)`)
      .pluck(),
    lostCount: db
      .prepare('SELECT count(*) FROM (SELECT 1 FROM segments WHERE refs > 0 AND lost <> 0 LIMIT ?)')
      .pluck(),
    someLost: db
      .prepare('SELECT EXISTS (SELECT 1 FROM segments WHERE refs > 0 AND lost <> 0)')
      .pluck(),
    marks: db.prepare('SELECT refs, lost FROM segments WHERE segment = ?'),
    markLost: db.prepare('UPDATE segments SET lost = ? WHERE segment = ?'),
    setHomes: db.prepare('UPDATE segments SET home = home_mask(?, length, md5) WHERE refs > 0'),
    released: db.prepare(`
      SELECT segment FROM segments
      WHERE refs = 0 AND released > '${noVersion}' AND released <= ? LIMIT ?`),
    abandoned: db.prepare(`
      SELECT segment FROM segments
      WHERE refs = 0 AND released = '${noVersion}' AND met < ? LIMIT ?`),
    forgetSegment: db.prepare('DELETE FROM segments WHERE segment = ? AND refs = 0'),
  }
}
