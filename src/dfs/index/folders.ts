/** Sums over the entries of each folder, so that they need not be counted. */
import { folderDirentType } from '../../wire/records.js'
import { noVersion, type Version } from '../../wire/version.js'
import type { AccountDatabase, Write } from './database.js'

export interface StoredFolder {
  readonly touched: Version
  readonly live: number
  readonly subfolders: number
}

const emptyFolder: StoredFolder = { touched: noVersion, live: 0, subfolders: 0 }

/** An entry before or after a change; undefined where no live one is. */
type Entry = { readonly type: number } | undefined

export class FolderTable {
  readonly #statements

  constructor(db: AccountDatabase) {
    this.#statements = prepare(db)
  }

  get(ino: number): StoredFolder {
    return (this.#statements.getFolder.get(ino) as StoredFolder | undefined) ?? emptyFolder
  }

  /** Notes that an entry of the folder has changed. */
  touch(_: Write, ino: number, version: Version, before: Entry, after: Entry): void {
    const live = Number(after !== undefined) - Number(before !== undefined)
    const subfolders =
      Number(after?.type === folderDirentType) - Number(before?.type === folderDirentType)
    this.#statements.touchFolder.run(ino, version, live, subfolders)
  }

  /** Forgets a folder that is no more. */
  drop(_: Write, ino: number): void {
    this.#statements.dropFolder.run(ino)
  }

  /** Counts the entries of a folder anew. */
  sumUp(_: Write, ino: number): void {
    const { touched } = this.get(ino)
    this.#statements.dropFolder.run(ino)
    this.#statements.sumUpFolder.run({ ino, touched, folderDirentType })
  }
}

function prepare(db: AccountDatabase) {
  return {
    getFolder: db.prepare('SELECT touched, live, subfolders FROM folders WHERE ino = ?'),
    dropFolder: db.prepare('DELETE FROM folders WHERE ino = ?'),
    touchFolder: db.prepare(`
      INSERT INTO folders VALUES (?, ?, ?, ?) ON CONFLICT (ino) DO UPDATE SET
        touched = max(touched, excluded.touched), live = live + excluded.live,
        subfolders = subfolders + excluded.subfolders`),
    sumUpFolder: db.prepare(`
      INSERT INTO folders SELECT @ino, max(@touched, coalesce(max(version), '${noVersion}')),
        count(ino), count(iif(type = @folderDirentType, ino, NULL))
      FROM entries WHERE parent = @ino`),
  }
}
