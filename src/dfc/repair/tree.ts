/**
 * The tree that an account's registers make, and what is wrong with it: names of nothing, inodes without a name, folders
 * that are below themselves. None of our changes leaves such, but whoever has the password can write registers. Pure.
 */
import {
  decodeEntry,
  decodeInode,
  direntType,
  type Entry,
  folderDirentType,
  type Key,
  parseKey,
  type Register,
  rootIno,
  trashIno,
} from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import { flawOf } from './inode-flaws.js'

/** Something that is wrong in the tree. */
export interface Flaw {
  /** The path, or the inode's number where no path leads to it. */
  readonly where: string
  /** The rest of a sentence that begins with `where`: the fault, and what to do about it. */
  readonly what: string
  /** Equal for a flaw that is found again while nothing about it has changed. */
  readonly id: string
}

interface KnownInode {
  readonly ino: number
  readonly version: Version
  readonly type: number
  readonly nlink: number
  readonly parent: number
  readonly flaw: string | undefined
  readonly segments: readonly string[]
}

interface KnownName extends Entry {
  readonly key: Key
  readonly version: Version
  readonly parent: number
  readonly name: string
}

const removeIt = '"dfc rm" removes the name'
const storeAnew = 'fetch what can be read of it, remove it, and store it anew'

export class Tree {
  readonly #inodes = new Map<number, KnownInode>()
  readonly #names = new Map<Key, KnownName>()

  /** Adds a register, in the place of an older one. */
  take({ key, version, value }: Register): void {
    const parsed = parseKey(key)
    if (parsed.kind === 'entry') {
      const { parent, name } = parsed
      if (value === null) this.#names.delete(key)
      else this.#names.set(key, { key, version, parent, name, ...decodeEntry(value) })
      return
    }
    const { ino } = parsed
    if (value === null) {
      this.#inodes.delete(ino)
      return
    }
    const inode = decodeInode(value)
    const { nlink, parent, segments } = inode
    const ids = segments.map(({ id }) => id)
    const type = direntType(inode.mode)
    this.#inodes.set(ino, { ino, version, type, nlink, parent, segments: ids, flaw: flawOf(inode) })
  }

  /** The ids of all segments that inodes list. */
  segments(): Set<string> {
    return new Set([...this.#inodes.values()].flatMap(({ segments }) => segments))
  }

  /** Everything that is wrong. `nowhere`: the segments of which no server has anything. */
  flaws(nowhere: ReadonlySet<string>): Flaw[] {
    const namesOf = Map.groupBy(this.#names.values(), ({ ino }) => ino)
    const places = new Map<number, KnownName>()
    for (const name of this.#names.values()) {
      if (this.#isInPlace(name)) places.set(name.ino, name)
    }
    const names = [...this.#names.values()].flatMap((name) => this.#flawsOfName(name, places))
    const inodes = [...this.#inodes.values()].flatMap((inode) => {
      const known = namesOf.get(inode.ino) ?? []
      return this.#flawsOfInode(inode, known, places, nowhere)
    })
    return [...names, ...inodes]
  }

  /** Whether a name is one that its inode can have: a folder has one, in the folder that it says. */
  #isInPlace({ ino, parent }: KnownName): boolean {
    const inode = this.#inodes.get(ino)
    if (inode?.type !== folderDirentType) return inode !== undefined
    return inode.parent === parent && ino !== parent && ino !== rootIno && ino !== trashIno
  }

  #flawsOfName(name: KnownName, places: ReadonlyMap<number, KnownName>): Flaw[] {
    const inode = this.#inodes.get(name.ino)
    const flaw = (what: string): Flaw[] => [
      {
        where: pathOf(name, places),
        what,
        id: `${name.key} ${name.version} ${inode?.version} ${what}`,
      },
    ]
    if (this.#inodes.get(name.parent)?.type !== folderDirentType) {
      return flaw('is a name in a folder that is not there; no program reaches it')
    }
    if (inode === undefined) return flaw(`leads to nothing: ${removeIt}`)
    if (!this.#isInPlace(name)) {
      return flaw(`leads to a folder that has its place elsewhere: ${removeIt}`)
    }
    return inode.type === name.type
      ? []
      : flaw(`is not of the type that its name says: ${storeAnew}`)
  }

  #flawsOfInode(
    inode: KnownInode,
    names: readonly KnownName[],
    places: ReadonlyMap<number, KnownName>,
    nowhere: ReadonlySet<string>,
  ): Flaw[] {
    const { ino, version, nlink, type } = inode
    const place = places.get(ino)
    const where = place === undefined ? inodeText(ino) : pathOf(place, places)
    const found: string[] = []
    if (inode.flaw !== undefined) found.push(`${inode.flaw}: ${storeAnew}`)
    if (inode.segments.some((id) => nowhere.has(id))) {
      found.push(`has content of which no server has anything: ${storeAnew}`)
    }
    if (ino === rootIno || ino === trashIno) {
      const what = ino === rootIno ? 'the root' : 'the trash'
      if (type !== folderDirentType) found.push(`is ${what}, and no folder`)
    } else if (type === folderDirentType) {
      if (place === undefined) found.push('is a folder without a name; no program reaches it')
      else if (isBelowItself(place, places)) found.push('is below itself; no program reaches it')
    } else if (names.length === 0 && nlink > 0) {
      found.push('has no name; no program reaches it')
    } else if (names.length !== nlink) {
      found.push(`has ${names.length} names and counts ${nlink}: ${storeAnew}, under all of them`)
    }
    return found.map((what) => ({ where, what, id: `${ino} ${version} ${what}` }))
  }
}

function inodeText(ino: number): string {
  if (ino === trashIno) return 'the trash'
  return ino === rootIno ? '/' : `inode ${ino}`
}

/** The path of a name, from the root or from the inode that is at its beginning. */
function pathOf(name: KnownName, places: ReadonlyMap<number, KnownName>): string {
  const names: string[] = []
  const seen = new Set<number>()
  let at: KnownName | undefined = name
  let first = name.parent
  while (at !== undefined && !seen.has(at.parent)) {
    names.unshift(at.name)
    first = at.parent
    seen.add(first)
    at = places.get(first)
  }
  return first === rootIno ? `/${names.join('/')}` : `${inodeText(first)}/${names.join('/')}`
}

function isBelowItself(place: KnownName, places: ReadonlyMap<number, KnownName>): boolean {
  const seen = new Set<number>()
  for (let at: KnownName | undefined = place; at !== undefined; at = places.get(at.parent)) {
    if (at.parent === place.ino) return true
    // Below a loop, and not in it.
    if (seen.has(at.ino)) return false
    seen.add(at.ino)
  }
  return false
}
