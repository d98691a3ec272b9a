/**
 * One user of a client: does operations one after the other, and remembers what it came across, so
 * that later ones are about files that exist, or did a moment ago.
 */
import { type Clock, sleep } from '../../src/clock.js'
import type { Client } from '../../src/dfc/client.js'
import type { Content } from '../../src/dfc/content/content.js'
import { overlay, truncate, wholeSlice } from '../../src/dfc/content/extents.js'
import type { PreparedSegment } from '../../src/dfc/content/prepared-segment.js'
import type { Node } from '../../src/dfc/namespace/cache/node.js'
import { recordOf } from '../../src/dfc/namespace/kept.js'
import type { RenameHow } from '../../src/dfc/namespace/plans/rename.js'
import type { KeptFile } from '../../src/dfc/namespace/trash.js'
import type { HealOptions } from '../../src/dfc/repair/heal.js'
import { DfsError } from '../../src/errors.js'
import { entryKey, fileType, inodeKey, rootIno, trashIno, typeOf } from '../../src/wire/records.js'
import type { Seeded } from '../fixtures/seeded.js'
import { between, chance, pick, weighted } from './chance.js'
import type { Contents } from './contents.js'
import { type History, nameOf, type Operation, type Subject } from './history.js'
import { currentOperation } from './tap.js'

/** Since when, if at all, a client can reach only one server, and until when it last could not. */
export interface Company {
  isAlone: boolean
  aloneUntilMs: number
}

/** What operations are mostly about for a while. */
export interface Favourite {
  readonly file: number
  readonly name: string
}

export interface ActorOptions {
  /** How old is what a repair sweeps; absent: it asks for no repairs. */
  readonly sweepAgeMs: number | undefined
  /** How often it asks for one, beside the weights of the other operations. */
  readonly healWeight: number
  /** How often it works in the root folder, where all the others are. */
  readonly rootShare: number
  /** The account keeps what is removed or replaced. */
  readonly hasTrash: boolean
  readonly nameCount: number
  readonly company: Company
  readonly name: string
  readonly client: Client
  /** What it changes may be answered before it is stored. */
  readonly isBehind: boolean
  /** What a client before it on the same machine had answered when it died: it is in the journal. */
  readonly inherited: readonly Operation[]
  /** What its operations are mostly about. */
  readonly favourite?: Favourite | undefined
  readonly random: Seeded
  readonly history: History
  readonly contents: Contents
  readonly clock: Clock
}

const names = ['a', 'b', 'c', 'd', 'e'] as const
const knownMax = 4
/** Weights of operations that need three servers. */
const noChanges = {
  create: 0,
  mkdir: 0,
  symlink: 0,
  unlink: 0,
  rmdir: 0,
  link: 0,
  rename: 0,
  chmod: 0,
  write: 0,
  replace: 0,
  orphan: 0,
  heal: 0,
  restore: 0,
  expunge: 0,
}
/** Changes, which a client that is alone may answer before they are stored. */
const answeredEarly: ReadonlySet<string> = new Set([
  'create',
  'write',
  'replace',
  'mkdir',
  'symlink',
  'unlink',
  'rmdir',
  'link',
  'rename',
  'chmod',
  'forget',
  'restore',
  'expunge',
])
/** Folders can be moved into each other, but seldom so deep. */
const depthMax = 8

interface Staged {
  readonly content: Content
  readonly inline?: PreparedSegment
}

export class Actor {
  readonly #options: ActorOptions
  readonly #client: Client
  readonly #random: Seeded
  readonly #files: number[] = []
  readonly #folders: number[] = []
  readonly #removed: number[] = []
  /** What was answered, and is perhaps not stored yet. */
  #answered: Operation[]
  /** What the operations of a burst are mostly about. */
  #favourite: Favourite | undefined

  constructor(options: ActorOptions) {
    this.#options = options
    this.#client = options.client
    this.#random = options.random
    this.#answered = [...options.inherited]
    this.#favourite = options.favourite
  }

  /** What was answered and is not known to be stored. */
  get answered(): readonly Operation[] {
    return this.#answered
  }

  /**
   * One operation by chance, or several without a pause and mostly about the same where they are answered early.
   * Resolves with their number when they have ended, however.
   */
  async act(): Promise<number> {
    const isBurst = this.#options.isBehind && chance(this.#random, 0.15)
    const count = isBurst ? between(this.#random, 2, 8) : 1
    if (isBurst) this.#favourite = { file: this.#file(), name: this.#name() }
    for (let done = 0; done < count; done += 1) await this.#actOnce()
    this.#favourite = this.#options.favourite
    // An operation that fails at once tests little.
    if (this.#options.isBehind && this.#client.cluster.voters.length < 2) {
      await sleep(this.#options.clock, 200)
    }
    if (this.#answered.length > 0 && chance(this.#random, 0.2)) await this.settle()
    return count
  }

  async #actOnce(): Promise<void> {
    const { isBehind } = this.#options
    if (isBehind && chance(this.#random, 0.03)) return this.#clearAway()
    // What was answered is seen while it cannot be stored.
    const readsOnly = isBehind && this.#client.cluster.voters.length === 2
    const weights = {
      lookup: 6,
      list: 5,
      getattr: 4,
      create: 14,
      mkdir: 7,
      symlink: 2,
      unlink: 7,
      rmdir: 5,
      link: 5,
      rename: 12,
      chmod: 6,
      write: 12,
      replace: 8,
      read: 14,
      orphan: 3,
      heal: this.#options.sweepAgeMs === undefined ? 0 : this.#options.healWeight,
      restore: this.#options.hasTrash ? 6 : 0,
      expunge: this.#options.hasTrash ? 2 : 0,
    } as const
    const actions: { readonly [K in keyof typeof weights]: () => Promise<unknown> } = {
      lookup: () => this.#lookup(this.#folder(), this.#name()),
      list: () => this.#list(this.#folder()),
      getattr: () => this.#getattr(this.#file()),
      create: () => this.#create(),
      mkdir: () => this.#make('mkdir', fileType.folder | 0o755),
      symlink: () => this.#make('symlink', fileType.symlink | 0o777),
      unlink: () => this.#unlink(false),
      rmdir: () => this.#rmdir(),
      link: () => this.#link(),
      rename: () => this.#rename(),
      chmod: () => this.#chmod(),
      write: () => this.#write(),
      replace: () => this.#replace(),
      read: () => this.#read(),
      orphan: () => this.#orphan(),
      heal: () => this.heal(this.#options.sweepAgeMs ?? 0),
      restore: () => this.#restore(),
      expunge: () => this.#expunge(),
    }
    await actions[weighted(this.#random, readsOnly ? { ...weights, ...noChanges } : weights)]()
  }

  /** Resolves when everything that was answered is stored, or known not to be. */
  async settle(): Promise<void> {
    const { history, clock } = this.#options
    while (this.#answered.length > 0) {
      const answered = this.#answered
      try {
        await this.#client.namespace.sync()
        this.#answered = []
        for (const operation of answered) history.end(operation, 'ok')
      } catch (thrown) {
        if (!(thrown instanceof DfsError)) throw thrown
        if (thrown.code !== 'stale') {
          await sleep(clock, 50)
          continue
        }
        this.#answered = []
        for (const operation of answered) history.end(operation, 'givenUp', thrown.message)
      }
    }
  }

  /** Everything there is, from the root down: names, inodes and contents. */
  async audit(folder: number = rootIno, depth = 0): Promise<void> {
    for (const node of (await this.#list(folder)) ?? []) {
      const type = typeOf(node.inode.mode)
      if (type === fileType.file) await this.#readContent(node)
      if (type === fileType.folder && depth < depthMax) await this.audit(node.ino, depth + 1)
    }
  }

  /** Reads all that the trash keeps. */
  async auditTrash(): Promise<void> {
    for (const { node } of await this.#kept()) {
      if (typeOf(node.inode.mode) === fileType.file) await this.#readContent(node, 'readKept')
    }
  }

  /** Repairs now. Returns how much could not be repaired, but for what is `lost` for good. */
  async heal(
    sweepAgeMs: number,
    lost: Set<string> = new Set(),
    thorough: Partial<HealOptions> = {},
  ): Promise<number | undefined> {
    return this.#do('heal', { about: `${sweepAgeMs}` }, async () => {
      const options = { patienceMs: 50, sweepAgeMs, ...thorough }
      const report = await this.#client.scheduler.heal(options)
      for (const { segment } of report.lost) lost.add(segment.id)
      const troubles = Number(!report.swept) + Number(report.failure !== undefined)
      return report.left + report.young - report.lost.length + troubles
    })
  }

  #list(folder: number): Promise<readonly Node[] | undefined> {
    const subject = { about: `${folder}`, inodes: [folder] }
    return this.#do('list', subject, async (operation) => {
      const { entries, more, undecided } = await this.#client.namespace.names.list(folder, '')
      if (more) throw new RangeError('a folder of five names has more than one page')
      for (const name of names) {
        if (undecided.has(name)) continue
        const ino = entries.find((entry) => entry.name === name)?.ino ?? null
        operation.saw.push({ key: entryKey(folder, name), ino })
      }
      return entries.flatMap(({ name, node }) =>
        node === undefined || undecided.has(name) ? [] : [this.#note(operation, node)],
      )
    })
  }

  // -- operations --------------------------------------------------------------------------------

  #lookup(folder: number, name: string): Promise<Node | undefined> {
    const key = entryKey(folder, name)
    const subject = { about: key, entries: [key] }
    return this.#do('lookup', subject, async (operation) => {
      const node = await this.#client.namespace.names.lookup(folder, name)
      operation.saw.push({ key, ino: node.ino })
      return this.#note(operation, node)
    })
  }

  #getattr(ino: number): Promise<Node | undefined> {
    return this.#do('getattr', { about: `${ino}`, inodes: [ino] }, async (operation) =>
      this.#note(operation, await this.#client.namespace.names.node(ino, true)),
    )
  }

  async #create(): Promise<void> {
    const folder = this.#folder()
    const name = this.#name()
    const key = entryKey(folder, name)
    const subject = {
      about: key,
      entries: [key],
      inodes: [folder],
      makes: [{ key, isLive: true }],
      isChange: true,
    }
    await this.#do('create', subject, async (operation) => {
      const attributes = { mode: fileType.file | 0o644, uid: operation.number, gid: 0 }
      if (chance(this.#random, 0.3)) {
        return this.#remember(await this.#client.namespace.create(folder, name, attributes))
      }
      const staged = await this.#stage(this.#options.contents.make(this.#random))
      return this.#remember(
        await this.#client.namespace.create(folder, name, { ...attributes, ...staged }),
      )
    })
  }

  async #make(verb: string, mode: number): Promise<void> {
    const folder = this.#folder()
    const name = pick(this.#random, ['c', 'd', 'e'])
    const key = entryKey(folder, name)
    const subject = {
      about: key,
      entries: [key],
      inodes: [folder],
      makes: [{ key, isLive: true }],
      isChange: true,
    }
    await this.#do(verb, subject, async (operation) => {
      const target = verb === 'symlink' ? { target: 'somewhere' } : {}
      const attributes = { mode, uid: operation.number, gid: 0, ...target }
      return this.#remember(await this.#client.namespace.create(folder, name, attributes))
    })
  }

  /** Removes a folder after all that is in it, as rm -r does. */
  async #clearAway(): Promise<void> {
    const folder = this.#folder()
    const name = pick(this.#random, ['c', 'd', 'e'])
    const node = await this.#lookup(folder, name)
    if (node === undefined || typeOf(node.inode.mode) !== fileType.folder) return
    for (const one of names) {
      const inside = await this.#lookup(node.ino, one)
      if (inside !== undefined) await this.#unlink(false, node.ino, one)
    }
    await this.#rmdir(folder, name)
  }

  /** Removes a name, whatever it is of, and then all that tells of it. */
  async sweepAway(folder: number, name: string, sweepAgeMs: number): Promise<void> {
    await this.#unlink(false, folder, name)
    await this.#rmdir(folder, name)
    await this.settle()
    await this.heal(sweepAgeMs)
  }

  async #unlink(
    keep: boolean,
    folder = this.#folder(),
    name = this.#name(),
  ): Promise<Node | undefined> {
    const key = entryKey(folder, name)
    const subject = {
      about: key,
      entries: [key],
      makes: [{ key, isLive: false }],
      isChange: true,
    }
    return this.#do('unlink', subject, () =>
      this.#client.namespace.unlink(folder, name, () => keep),
    )
  }

  /** A file that is removed while it is open: it is still written and read, and then forgotten. */
  async #orphan(): Promise<void> {
    const node = await this.#unlink(true)
    if (node !== undefined && node.inode.nlink === 0) this.#removed.push(node.ino)
    const ino = this.#removed[0]
    if (ino === undefined) return
    await this.#overwrite(ino)
    if (chance(this.#random, 0.3)) return
    this.#removed.shift()
    await this.#do('forget', { about: `${ino}`, inodes: [ino] }, () =>
      this.#client.namespace.forget(ino),
    )
  }

  async #rmdir(
    folder = this.#folder(),
    name: string = pick(this.#random, ['c', 'd', 'e']),
  ): Promise<void> {
    const key = entryKey(folder, name)
    const subject = {
      about: key,
      entries: [key],
      makes: [{ key, isLive: false }],
      isChange: true,
    }
    await this.#do('rmdir', subject, () => this.#client.namespace.rmdir(folder, name))
  }

  async #link(): Promise<void> {
    const ino = this.#file()
    const folder = this.#folder()
    const name = this.#name()
    const key = entryKey(folder, name)
    const subject = {
      about: `${ino} as ${key}`,
      entries: [key],
      inodes: [ino, folder],
      makes: [{ key, isLive: true }],
      isChange: true,
    }
    await this.#do('link', subject, () => this.#client.namespace.link(ino, folder, name))
  }

  async #rename(): Promise<void> {
    const how = weighted<RenameHow>(this.#random, { replace: 5, noReplace: 2, exchange: 3 })
    const fromFolder = this.#folder()
    const toFolder = chance(this.#random, 0.5) ? fromFolder : this.#folder()
    const [fromName, toName] = [this.#name(), this.#name()]
    const from = entryKey(fromFolder, fromName)
    const to = entryKey(toFolder, toName)
    const subject = {
      about: `${how} ${from} ${to}`,
      entries: [from, to],
      inodes: [fromFolder, toFolder],
    }
    await this.#do(`rename`, subject, () =>
      this.#client.namespace.rename(fromFolder, fromName, toFolder, toName, how),
    )
  }

  async #chmod(): Promise<void> {
    const ino = chance(this.#random, 0.3) ? this.#folder() : this.#file()
    const bits = this.#random.below(0o1000)
    const subject = { about: `${ino}`, inodes: [ino], isChange: true }
    await this.#do('chmod', subject, () =>
      this.#client.namespace.update(ino, (inode, ctime) => ({
        ...inode,
        mode: typeOf(inode.mode) | bits,
        ctime,
      })),
    )
  }

  async #write(): Promise<void> {
    await this.#overwrite(this.#file())
  }

  /** Opens a file, changes all or some of its content, and closes it. */
  async #overwrite(ino: number): Promise<void> {
    const base = await this.#getattr(ino)
    if (base === undefined || typeOf(base.inode.mode) !== fileType.file) return
    const segments = base.inode.segments.map(({ id }) => id)
    const makes = [{ key: inodeKey(ino), isLive: true }]
    const subject = { about: `${ino}`, inodes: [ino], segments, makes, isChange: true }
    const time = { seconds: 1_700_000_000, nanoseconds: 0 }
    await this.#do('write', subject, async () => {
      const { content, inline } = await this.#changed(base)
      const times = { mtime: time, ctime: time }
      const { namespace } = this.#client
      // Some with fsync, which is another way of the same.
      const how = { inline, onDisk: content.size % 2 === 1 }
      return namespace.writeContent(ino, base, content, times, how)
    })
  }

  async #replace(): Promise<void> {
    const folder = this.#folder()
    const name = this.#name()
    const key = entryKey(folder, name)
    const subject = {
      about: key,
      entries: [key],
      inodes: [folder],
      isChange: true,
    }
    await this.#do('replace', subject, async (operation) => {
      const staged = await this.#stage(this.#options.contents.make(this.#random))
      const attributes = { mode: fileType.file | 0o600, uid: operation.number, gid: 0 }
      return this.#remember(
        await this.#client.namespace.replace(folder, name, { ...attributes, ...staged }),
      )
    })
  }

  async #read(): Promise<void> {
    const node = await this.#lookup(this.#folder(), this.#name())
    if (node !== undefined && typeOf(node.inode.mode) === fileType.file) {
      await this.#readContent(node)
    }
  }

  async #readContent({ ino, inode }: Node, verb = 'read'): Promise<void> {
    const segments = inode.segments.map(({ id }) => id)
    await this.#do(verb, { about: `${ino}`, segments }, async () => {
      const expected = this.#options.contents.of(inode)
      if (expected === undefined) throw new RangeError(`${ino} has a content that nobody wrote`)
      const bytes = chance(this.#random, 0.5)
        ? await this.#client.content.read(inode, 0, inode.size)
        : await collected(this.#client.content.stream(inode))
      if (!bytes.equals(expected)) throw new RangeError(`${ino} has the wrong bytes`)
    })
  }

  // -- what is kept ------------------------------------------------------------------------------

  async #kept(): Promise<readonly KeptFile[]> {
    const found = await this.#do('trash', { about: '' }, async () => {
      const all: KeptFile[] = []
      for await (const kept of this.#client.namespace.trash.files()) all.push(kept)
      return all
    })
    return found ?? []
  }

  /** Brings back something that was removed or replaced, which has just the content that it had. */
  async #restore(): Promise<void> {
    const all = await this.#kept()
    if (all.length === 0) return
    const { id, node } = pick(this.#random, all)
    if (typeOf(node.inode.mode) === fileType.file) await this.#readContent(node, 'readKept')
    const folder = this.#folder()
    const name = this.#name()
    const keys = [entryKey(folder, name), entryKey(trashIno, id)]
    const mayReplace = chance(this.#random, 0.4)
    const subject = {
      about: `${id} as ${keys[0]}`,
      entries: keys,
      inodes: [folder, node.ino],
      makes: keys.map((key, index) => ({ key, isLive: index === 0 })),
      isChange: true,
    }
    await this.#do('restore', subject, async () => {
      const { trash } = this.#client.namespace
      const restored = await trash.restore({ kept: id, parent: folder, name, mayReplace })
      if (recordOf(restored.inode) !== undefined) throw new RangeError('it is still marked as kept')
      return this.#remember(restored)
    })
  }

  /** Removes some of what is kept for good. */
  async #expunge(): Promise<void> {
    const all = await this.#kept()
    const ids = all.slice(0, between(this.#random, 1, 3)).map(({ id }) => id)
    const entries = ids.map((id) => entryKey(trashIno, id))
    await this.#do('expunge', { about: ids.join(), entries }, () =>
      this.#client.namespace.trash.remove(ids),
    )
  }

  // -- contents ----------------------------------------------------------------------------------

  /** Uploads `bytes`, or leaves them to the commit when they are few. */
  async #stage(bytes: Buffer): Promise<Staged> {
    const { contents } = this.#options
    const source = (async function* () {
      yield bytes
    })()
    const isUploaded = chance(this.#random, 0.4)
    const { content, inline } = await this.#client.content.stage(source)
    if (isUploaded && inline !== undefined) await this.#client.content.writer.put(inline)
    contents.expect(content, bytes)
    return isUploaded || inline === undefined ? { content } : { content, inline }
  }

  /** A new content for an open file: another one, or the old one with a part replaced or cut off. */
  async #changed({ inode }: Node): Promise<Staged> {
    const { contents } = this.#options
    const before = contents.of(inode)
    if (before === undefined) throw new RangeError('a content that nobody wrote')
    const how = weighted(this.#random, { all: 5, part: 4, cut: 1 })
    if (how === 'cut') {
      const size = this.#random.below(before.length + 20)
      const after = Buffer.alloc(size)
      before.copy(after)
      const content = truncate(inode, size)
      contents.expect(content, after)
      return { content }
    }
    const bytes = contents.make(this.#random)
    const staged = await this.#stage(bytes)
    const [segment] = staged.content.segments
    if (how === 'all' || segment === undefined || staged.content.segments.length > 1) return staged
    const at = this.#random.below(before.length + 10)
    const after = Buffer.alloc(Math.max(before.length, at + bytes.length))
    before.copy(after)
    bytes.copy(after, at)
    const content = overlay(inode, [wholeSlice(segment, at)])
    contents.expect(content, after)
    return { ...staged, content }
  }

  // -- around an operation -----------------------------------------------------------------------

  async #do<T>(
    verb: string,
    subject: Subject,
    work: (operation: Operation) => Promise<T>,
  ): Promise<T | undefined> {
    const { history, name } = this.#options
    const operation = history.begin(name, verb, subject)
    if (this.#answered.length > 0) {
      // What it sends may be what was answered before.
      operation.isBehind = true
    }
    const noteCompany = (): void => {
      const { isAlone, aloneUntilMs } = this.#options.company
      const isAloneNow = isAlone || this.#client.cluster.voters.length < 2
      operation.wasAlone ||= isAloneNow || aloneUntilMs >= operation.startMs
    }
    try {
      const result = await currentOperation.run(operation, () => work(operation))
      noteCompany()
      if (this.#options.isBehind && answeredEarly.has(verb)) {
        operation.isBehind = true
        this.#answered.push(operation)
        history.note(`${name} ANSWERED ${nameOf(operation)} ${summaryOf(result)}`)
        return result
      }
      history.end(operation, 'ok', summaryOf(result))
      return result
    } catch (thrown) {
      noteCompany()
      if (thrown instanceof DfsError) {
        history.end(operation, thrown.code, thrown.message)
        return undefined
      }
      history.end(operation, 'io')
      const what = thrown instanceof RangeError ? thrown.message : (thrown as Error).stack
      history.violation(`${name} ${verb} ${subject.about}: ${what}`)
      return undefined
    }
  }

  #note(operation: Operation, node: Node): Node {
    operation.saw.push({ key: inodeKey(node.ino), version: node.version })
    return this.#remember(node)
  }

  #remember(node: Node): Node {
    const list = typeOf(node.inode.mode) === fileType.folder ? this.#folders : this.#files
    if (!list.includes(node.ino) && node.ino !== rootIno) list.unshift(node.ino)
    list.length = Math.min(list.length, knownMax)
    return node
  }

  #folder(): number {
    if (this.#folders.length === 0 || chance(this.#random, this.#options.rootShare)) return rootIno
    return pick(this.#random, this.#folders)
  }

  #file(): number {
    if (this.#favourite !== undefined && chance(this.#random, 0.7)) return this.#favourite.file
    return this.#files.length === 0 ? rootIno : pick(this.#random, this.#files)
  }

  #name(): string {
    if (this.#favourite !== undefined && chance(this.#random, 0.5)) return this.#favourite.name
    // From the end: folders have the last names.
    return pick(this.#random, names.slice(-this.#options.nameCount))
  }
}

async function collected(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

function summaryOf(result: unknown): string {
  if (typeof result === 'string' || typeof result === 'number') return `${result}`
  const node = result as Partial<Node> | undefined
  return node?.ino === undefined ? '' : `${node.ino} ${node.version}`
}
