/** The place in which a worker of the storm keeps its files: the client library, or a folder such as a mount. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock, systemRandom } from '../../src/clock.js'
import type { ClientConfig } from '../../src/config.js'
import { Client } from '../../src/dfc/client.js'
import { tcpNetwork } from '../../src/network.js'
import { fileType, rootIno } from '../../src/wire/records.js'

/** Operations on files. Each throws an error with a `code` when it fails. */
export interface Place {
  /** A put that fails leaves no empty file behind, where there was none before. */
  readonly putIsWhole: boolean
  put(name: string, bytes: Buffer): Promise<void>
  /** Throws `exists` or EEXIST. */
  create(name: string, bytes: Buffer): Promise<void>
  read(name: string): Promise<Buffer>
  rename(from: string, to: string): Promise<void>
  remove(name: string): Promise<void>
  close(): Promise<void>
}

export function folderPlace(folder: string): Place {
  const pathOf = (name: string): string => join(folder, name)
  return {
    // It opens the file, which makes it, and then the close fails.
    putIsWhole: false,
    put: (name, bytes) => writeFile(pathOf(name), bytes),
    create: (name, bytes) => writeFile(pathOf(name), bytes, { flag: 'wx' }),
    read: (name) => readFile(pathOf(name)),
    rename: (from, to) => rename(pathOf(from), pathOf(to)),
    remove: (name) => rm(pathOf(name)),
    close: async () => {},
  }
}

/** Repairs in the background, as mounts do. */
export async function libraryPlace(config: ClientConfig): Promise<Place> {
  const options = { network: tcpNetwork, clock: systemClock, random: systemRandom }
  const client = await Client.open({ ...options, config })
  client.scheduler.start()
  const { content, namespace } = client
  const staged = async (bytes: Buffer) => {
    const source = (async function* () {
      yield bytes
    })()
    const { content: made, inline } = await content.stage(source)
    const rides = inline === undefined ? {} : { inline }
    return { mode: fileType.file | 0o644, uid: 0, gid: 0, content: made, ...rides }
  }
  return {
    putIsWhole: true,
    put: async (name, bytes) => void (await namespace.replace(rootIno, name, await staged(bytes))),
    create: async (name, bytes) =>
      void (await namespace.create(rootIno, name, await staged(bytes))),
    async read(name) {
      const { inode } = await namespace.names.lookup(rootIno, name)
      return content.read(inode, 0, inode.size)
    },
    rename: async (from, to) =>
      void (await namespace.rename(rootIno, from, rootIno, to, 'replace')),
    remove: async (name) => void (await namespace.unlink(rootIno, name)),
    close: () => client.close(),
  }
}
