/**
 * A server that lies: what it answers is changed on its way to the clients. It makes up content, rewrites it in place,
 * deletes, shows versions and fences of the near and of the far future and an epoch that nothing can exceed, and lists
 * without end. Its votes, promises and accepts it keeps.
 */
import { type Codec, Reader } from '../../src/wire/codec.js'
import { frame, frameKind } from '../../src/wire/frame.js'
import { messages, type Reply, type Verb, verbOfNumber } from '../../src/wire/messages.js'
import {
  decodeInode,
  encodeEntry,
  encodeInode,
  entryKey,
  fileType,
  type Key,
  parseKey,
  rootIno,
  type Transaction,
} from '../../src/wire/records.js'
import { noVersion, type Version, versionOf } from '../../src/wire/version.js'
import type { Seeded } from '../fixtures/seeded.js'
import { chance, pick } from './chance.js'

const modes = ['content', 'rewrite', 'delete', 'far', 'fence', 'epoch', 'endless'] as const
type Mode = (typeof modes)[number]
/** The modes that are about one register. */
const forgeries: readonly Mode[] = ['content', 'rewrite', 'delete', 'far']

interface Register {
  readonly version: Version
  readonly value: Buffer | null
}

const inventor = 'deadbeef'
const lieShare = 0.6
const nearMs = 60_000
const farMs = 3_600_000
const headBytes = 9

export class Liar {
  readonly #random: Seeded
  readonly #nowMs: () => number
  readonly #modes: readonly Mode[]
  readonly #forgeries: readonly Mode[]
  #made = 0
  /** The lies that were told. */
  count = 0

  constructor(random: Seeded, nowMs: () => number) {
    this.#random = random
    this.#nowMs = nowMs
    this.#modes = modes.filter(() => chance(random, 0.6))
    this.#forgeries = this.#modes.filter((mode) => forgeries.includes(mode))
  }

  /** Changes the answers of one connection, of which it sees the requests. */
  listen(): { request(bytes: Buffer): void; reply(bytes: Buffer): Buffer } {
    const verbs = new Map<number, Verb>()
    const requests = new Frames()
    const replies = new Frames()
    return {
      request: (bytes) => {
        for (const one of requests.take(bytes)) {
          const verb = verbOfNumber(one.readUInt8(4))
          if (verb !== undefined) verbs.set(one.readUInt32BE(5), verb)
        }
      },
      reply: (bytes) => Buffer.concat(replies.take(bytes).map((one) => this.#changed(one, verbs))),
    }
  }

  #changed(bytes: Buffer, verbs: Map<number, Verb>): Buffer {
    const kind = bytes.readUInt8(4)
    const id = bytes.readUInt32BE(5)
    const verb = verbs.get(id)
    verbs.delete(id)
    if (verb === undefined || kind < frameKind.reply || kind === frameKind.failure) return bytes
    if (!chance(this.#random, lieShare)) return bytes
    const lies: Partial<Record<Verb, (fields: never) => unknown>> = this.#lies
    const lie = lies[verb]
    if (lie === undefined) return bytes
    const codec = messages[verb].reply as Codec<unknown>
    const fields = codec.read(new Reader(bytes.subarray(headBytes)))
    this.count += 1
    return Buffer.concat(frame(kind, id, codec, lie(fields as never)))
  }

  readonly #lies = {
    read: (fields: Reply<'read'>): Reply<'read'> => ({
      ...fields,
      stamp: this.#stamp(fields.stamp),
      registers: fields.registers.map((seen) => ({
        ...seen,
        register: { ...seen.register, ...this.#forged(undefined, seen.register) },
      })),
    }),
    lookup: (fields: Reply<'lookup'>): Reply<'lookup'> => ({
      ...fields,
      stamp: this.#stamp(fields.stamp),
      steps: fields.steps.map(({ entry, inode }) => ({
        entry: { ...entry, ...this.#forged(undefined, entry) },
        inode: inode && {
          ...inode,
          register: { ...inode.register, ...this.#forged(undefined, inode.register) },
        },
      })),
    }),
    list: (fields: Reply<'list'>): Reply<'list'> => {
      const entries = fields.entries.map((one) => ({
        ...one,
        entry: { ...one.entry, ...this.#forged(undefined, one.entry) },
      }))
      const isEndless = this.#modes.includes('endless')
      if (isEndless) entries.push(this.#inventedName(fields.entries.at(-1)?.name ?? ''))
      return {
        ...fields,
        stamp: this.#stamp(fields.stamp),
        entries,
        more: fields.more || isEndless,
      }
    },
    changes: (fields: Reply<'changes'>): Reply<'changes'> => {
      const registers = fields.registers.map(({ key, ...register }) => ({
        key,
        ...this.#forged(key, register),
      }))
      const sorted = registers.toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
      const isEndless = this.#modes.includes('endless')
      if (isEndless) sorted.push(this.#inventedRegister())
      const checksums = sorted.map(() => this.#random.below(2 ** 32))
      return {
        ...fields,
        stamp: this.#stamp(fields.stamp),
        registers: sorted,
        checksums,
        more: fields.more || isEndless,
      }
    },
    changesDigest: (fields: Reply<'changesDigest'>): Reply<'changesDigest'> => ({
      ...fields,
      stamp: this.#stamp(fields.stamp),
      digest: 'ab'.repeat(16),
      more: fields.more || this.#modes.includes('endless'),
    }),
    records: (fields: Reply<'records'>): Reply<'records'> => {
      const invented = { id: this.#near(), state: pick(this.#random, ['committed', 'aborted']) }
      const records = [...fields.records, invented] as Reply<'records'>['records']
      return { ...fields, stamp: this.#stamp(fields.stamp), records }
    },
    prepare: (fields: Reply<'prepare'>): Reply<'prepare'> => ({
      ...fields,
      stamp: this.#stamp(fields.stamp),
      outcome: pick(this.#random, [fields.outcome, 'committed', 'aborted', 'forgotten'] as const),
      body: fields.body && this.#otherBody(fields.body),
    }),
    status: (fields: Reply<'status'>): Reply<'status'> => ({
      ...fields,
      stamp: this.#stamp(fields.stamp),
    }),
  }

  #stamp(stamp: Reply<'status'>['stamp']): Reply<'status'>['stamp'] {
    const fence = this.#modes.includes('fence') ? this.#near() : stamp.fence
    const epoch = this.#modes.includes('epoch') ? Number.MAX_SAFE_INTEGER : stamp.epoch
    return { ...stamp, fence, epoch }
  }

  #near(): Version {
    this.#made += 1
    return versionOf(this.#nowMs() + this.#random.below(nearMs), this.#made % 0x1_0000, inventor)
  }

  #far(): Version {
    this.#made += 1
    return versionOf(this.#nowMs() + farMs, this.#made % 0x1_0000, inventor)
  }

  #forged(key: Key | undefined, { version, value }: Register): Register {
    const mode = pick(this.#random, [...this.#forgeries, 'none'])
    if (mode === 'delete') return { version: this.#near(), value: null }
    if (mode === 'far') return { version: this.#far(), value }
    if (mode !== 'content' && mode !== 'rewrite') return { version, value }
    const isInode = key === undefined ? isInodeValue(value) : parseKey(key).kind === 'inode'
    if (value === null || !isInode) return { version, value }
    const inode = decodeInode(value)
    const other = encodeInode({ ...inode, uid: inode.uid + 1, size: 0, segments: [], extents: [] })
    return { version: mode === 'content' ? this.#near() : version, value: other }
  }

  #otherBody(body: Transaction): Transaction {
    const writes = body.writes.map(({ key, value }) => ({
      key,
      value: this.#forged(key, { version: noVersion, value }).value,
    }))
    return { ...body, writes }
  }

  #inventedName(after: string): Reply<'list'>['entries'][number] {
    const ino = 2 ** 40 + this.#made
    const value = encodeEntry({ ino, type: fileType.file >> 12 })
    const entry = { version: this.#near(), value, lock: null }
    return { name: `${after}~`, entry, inode: null, held: Buffer.alloc(0), lost: false }
  }

  #inventedRegister(): { key: Key; version: Version; value: Buffer } {
    const value = encodeEntry({ ino: 2 ** 40 + this.#made, type: fileType.file >> 12 })
    const version = versionOf(this.#nowMs() + farMs * 2 + this.#made, 0, inventor)
    this.#made += 1
    return { key: entryKey(rootIno, `made up ${this.#made}`), version, value }
  }
}

/** Of a look-up or a listing nothing says which is which: an entry is short. */
function isInodeValue(value: Buffer | null): boolean {
  return value !== null && value.length > 20
}

function order({ version, key }: { readonly version: Version; readonly key: Key }): string {
  return `${version}${key}`
}

/** Cuts a stream into whole frames, as bytes. */
class Frames {
  #rest = Buffer.alloc(0)

  take(bytes: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, bytes])
    const frames: Buffer[] = []
    while (this.#rest.length >= 4) {
      const length = 4 + this.#rest.readUInt32BE(0)
      if (this.#rest.length < length) break
      frames.push(this.#rest.subarray(0, length))
      this.#rest = this.#rest.subarray(length)
    }
    return frames
  }
}
