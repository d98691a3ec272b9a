/**
 * The names in folders that are known in full, in their order, so that a client that is alone lists them without
 * asking. Which folders these are, and since when, KnownFolders says.
 */
import { LRUCache } from 'lru-cache'
import { compareTexts } from '../../../byte-text.js'
import { limits } from '../../../limits.js'

interface List {
  readonly names: Set<string>
  /** The names in the order of their bytes, made when they are needed. */
  sorted: readonly string[] | undefined
  /** The last name of the pages so far; undefined once the list is complete. */
  end: string | undefined
}

export class FolderLists {
  readonly #lists = new LRUCache<number, List>({
    maxSize: limits.registerCacheEntriesMax,
    sizeCalculation: ({ names }) => names.size + 1,
  })

  /** Notes that a folder was just created and is empty. */
  setEmpty(folder: number): void {
    this.#lists.set(folder, { names: new Set(), sorted: undefined, end: undefined })
  }

  /** Notes the names of a page of the folder, after the name `after` up to `end`. Without `more`, it is the last. */
  setListed(
    folder: number,
    after: string,
    end: string,
    more: boolean,
    names: readonly string[],
  ): void {
    const before = after === '' ? undefined : this.#lists.get(folder)
    if (after !== '' && (before === undefined || before.end !== after)) return
    const all = before?.names ?? new Set()
    for (const name of names) all.add(name)
    this.#set(folder, { names: all, sorted: undefined, end: more ? end : undefined })
  }

  /** Notes that a name was made or removed. */
  note(folder: number, name: string, isLive: boolean): void {
    const list = this.#lists.get(folder)
    if (list === undefined || list.names.has(name) === isLive) return
    // A later page brings it.
    if (list.end !== undefined && compareTexts(name, list.end) > 0) return
    if (isLive) list.names.add(name)
    else list.names.delete(name)
    this.#set(folder, { ...list, sorted: undefined })
  }

  /** Returns the names of a folder that was listed to its end, in the order of their bytes. */
  names(folder: number): readonly string[] | undefined {
    const list = this.#lists.get(folder)
    if (list === undefined || list.end !== undefined) return undefined
    list.sorted ??= [...list.names].sort(compareTexts)
    return list.sorted
  }

  drop(folder: number): void {
    this.#lists.delete(folder)
  }

  /** Set again, because its size has changed. */
  #set(folder: number, list: List): void {
    this.#lists.delete(folder)
    this.#lists.set(folder, list)
  }
}
