/** The table of POSIX cases with the bare file system: no kernel, no mount, the same results. */
import { constants } from 'node:fs'
import t from 'tap'
import type { Node } from '../../src/dfc/namespace/cache/node.js'
import { DfsError, errnoName, isError } from '../../src/errors.js'
import type { Attributes } from '../../src/fuse/kernel/answers.js'
import type { Filesystem } from '../../src/fuse/vfs/filesystem.js'
import { fileType, rootIno, typeOf } from '../../src/wire/records.js'
import { attributesOf, filesystemOf } from '../fixtures/drafts.js'
import { textOf } from '../fixtures/lent.js'
import { openClient } from '../fixtures/library.js'
import { type Posix, type PosixFile, posixCases, type Status } from '../fixtures/posix-cases.js'
import { startServers } from '../fixtures/servers.js'

t.setTimeout(120_000)
const caller = { uid: 0, gid: 0, pid: 0 }
const servers = await startServers(t)
const filesystem = filesystemOf(await openClient(t, servers), servers)

const kinds = new Map<number, Status['kind']>([
  [fileType.file, 'file'],
  [fileType.folder, 'folder'],
  [fileType.symlink, 'link'],
  [fileType.fifo, 'fifo'],
])

function statusOf({ ino, mode, nlink, size, mtime }: Attributes): Status {
  return {
    kind: kinds.get(typeOf(mode)) ?? 'other',
    ino,
    mode: mode & 0o7777,
    links: nlink,
    size,
    mtimeNs: BigInt(mtime.seconds) * 1_000_000_000n + BigInt(mtime.nanoseconds),
  }
}

/** What the kernel does with paths, and with errors: each has the name of its errno. */
function posixOn(fs: Filesystem, home: number): Posix {
  const find = async (parent: number, name: string): Promise<Node> =>
    fs.known(parent, name) ?? (await fs.lookup(parent, name))
  const inoOf = async (path: string): Promise<number> => {
    let ino = home
    for (const name of path.split('/')) {
      if (name !== '.') ino = (await find(ino, name)).ino
    }
    return ino
  }
  const placeOf = async (path: string): Promise<[parent: number, name: string]> => {
    const slash = path.lastIndexOf('/')
    return [await inoOf(slash === -1 ? '.' : path.slice(0, slash)), path.slice(slash + 1)]
  }
  const posix: Posix = {
    mkdir: async (path) => {
      await fs.make(...(await placeOf(path)), fileType.folder | 0o755, caller)
    },
    rmdir: async (path) => fs.rmdir(...(await placeOf(path))),
    unlink: async (path) => fs.unlink(...(await placeOf(path))),
    rename: async (from, to) =>
      fs.rename(...(await placeOf(from)), ...(await placeOf(to)), 'replace'),
    link: async (path, to) => {
      await fs.link(await inoOf(path), ...(await placeOf(to)))
    },
    symlink: async (target, path) => {
      await fs.make(...(await placeOf(path)), fileType.symlink | 0o777, caller, { target })
    },
    readlink: async (path) => fs.readlink(await inoOf(path)),
    list: async (path) => {
      const { entries } = await fs.openFolder(await inoOf(path)).read(0)
      return entries.map(({ name }) => name).toSorted()
    },
    status: async (path) => statusOf(await attributesOf(fs, await inoOf(path))),
    chmod: async (path, mode) => fs.metadata.setMode(await inoOf(path), mode),
    setTime: async (path, seconds) => {
      const time = { seconds, nanoseconds: 0 }
      await fs.metadata.setTimes(await inoOf(path), time, time)
    },
    truncate: async (path, size) => fs.truncate(await inoOf(path), size, caller),
    open: async (path, flags): Promise<PosixFile> => {
      const [parent, name] = await placeOf(path)
      const mayExist = (flags & constants.O_EXCL) === 0
      const make = async (): Promise<Node> => {
        try {
          return await fs.makeFile(parent, name, fileType.file | 0o644, caller)
        } catch (error) {
          if (mayExist && isError(error, 'exists')) return find(parent, name)
          throw error
        }
      }
      const node = await ((flags & constants.O_CREAT) === 0 ? find(parent, name) : make())
      const { handle } = await fs.openNode(node, name, flags)
      return withErrnos({
        read: async (at, length) => textOf(await fs.read(handle, at, length)),
        write: async (at, text) => {
          await fs.write(handle, at, Buffer.from(text))
        },
        truncate: (size) => fs.truncateOpen(handle, size),
        status: async () => statusOf(await attributesOf(fs, node.ino)),
        close: async () => {
          await fs.flush(handle)
          await fs.close(handle)
        },
      })
    },
  }
  return withErrnos(posix)
}

type Methods = Record<string, (...given: never[]) => Promise<unknown>>

function withErrnos<T extends object>(posix: T): T {
  const named = Object.entries(posix as Methods).map(([name, method]) => [
    name,
    (...given: never[]) =>
      method(...given).catch((error: unknown) => {
        throw error instanceof DfsError ? { code: errnoName(error.errno) } : error
      }),
  ])
  return Object.fromEntries(named) as T
}

for (const [what, expected, run] of posixCases) {
  t.test(what, async (t) => {
    const { ino } = await filesystem.make(rootIno, what, fileType.folder | 0o755, caller)
    t.same(await run(posixOn(filesystem, ino)), expected)
  })
}
