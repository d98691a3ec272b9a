/**
 * A file system in memory: node dist/examples/memory.js MOUNTPOINT. Files, folders, symbolic and hard
 * links, renames and attributes; everything is gone when it ends.
 */
import {
  type Attributes,
  attributesWith,
  type FileSystem,
  FuseError,
  fileTypes,
  Mount,
  rootIno,
  timeOfMs,
} from 'dfs-pairs/fuse'

interface Inode {
  attributes: Attributes
  bytes: Buffer
  target: string
  readonly names: Map<string, number>
}

const inodes = new Map<number, Inode>()
let nextIno = rootIno

function make(mode: number, owner: { uid: number; gid: number }, target = ''): Inode {
  const ino = nextIno++
  const nlink = isFolder(mode) ? 2 : 1
  const times = { mtime: timeOfMs(Date.now()), size: target.length, nlink }
  const inode: Inode = {
    attributes: attributesWith({ ino, mode, ...times, uid: owner.uid, gid: owner.gid }),
    bytes: Buffer.alloc(0),
    target,
    names: new Map(),
  }
  inodes.set(ino, inode)
  return inode
}

function get(ino: number): Inode {
  const inode = inodes.get(ino)
  if (inode === undefined) throw new FuseError('ESTALE')
  return inode
}

function isFolder(mode: number): boolean {
  return (mode & fileTypes.mask) === fileTypes.folder
}

/** Gives an inode other attributes, and returns them. */
function change(inode: Inode, changes: Partial<Attributes>): Attributes {
  inode.attributes = { ...inode.attributes, ctime: timeOfMs(Date.now()), ...changes }
  return inode.attributes
}

function add(parent: number, name: string, inode: Inode): Attributes {
  const { names } = get(parent)
  if (names.has(name)) throw new FuseError('EEXIST')
  names.set(name, inode.attributes.ino)
  change(get(parent), { mtime: timeOfMs(Date.now()) })
  return inode.attributes
}

/** Inodes without links stay until nobody has them open: here, for ever. */
function remove(parent: number, name: string, wantsFolder: boolean): void {
  const { names } = get(parent)
  const inode = get(names.get(name) ?? missing())
  if (wantsFolder && !isFolder(inode.attributes.mode)) throw new FuseError('ENOTDIR')
  if (inode.names.size > 0) throw new FuseError('ENOTEMPTY')
  names.delete(name)
  change(get(parent), { mtime: timeOfMs(Date.now()) })
  change(inode, { nlink: wantsFolder ? 0 : inode.attributes.nlink - 1 })
}

function missing(): never {
  throw new FuseError('ENOENT')
}

function resize(inode: Inode, size: number): Attributes {
  const bytes = Buffer.alloc(size)
  inode.bytes.copy(bytes)
  inode.bytes = bytes
  return change(inode, { size, blocks: Math.ceil(size / 512), mtime: timeOfMs(Date.now()) })
}

const memory: FileSystem = {
  lookup(parent, name) {
    const ino = get(parent).names.get(name)
    return ino === undefined ? undefined : get(ino).attributes
  },
  getattr: (ino) => get(ino).attributes,
  setattr(ino, { size, mode, ...changes }) {
    const inode = get(ino)
    if (size !== undefined) resize(inode, size)
    const { attributes } = inode
    const now = timeOfMs(Date.now())
    const { uid = attributes.uid, gid = attributes.gid } = changes
    const { atime = attributes.atime, mtime = attributes.mtime } = changes
    return change(inode, {
      mode:
        mode === undefined ? attributes.mode : (attributes.mode & fileTypes.mask) | (mode & 0o7777),
      uid,
      gid,
      atime: atime === 'now' ? now : atime,
      mtime: mtime === 'now' ? now : mtime,
    })
  },
  mknod: (parent, name, mode, _, caller) => add(parent, name, make(mode, caller)),
  mkdir: (parent, name, mode, caller) => add(parent, name, make(fileTypes.folder | mode, caller)),
  symlink: (parent, name, target, caller) =>
    add(parent, name, make(fileTypes.symlink | 0o777, caller, target)),
  readlink: (ino) => get(ino).target,
  link(ino, parent, name) {
    add(parent, name, get(ino))
    return change(get(ino), { nlink: get(ino).attributes.nlink + 1 })
  },
  unlink: (parent, name) => remove(parent, name, false),
  rmdir: (parent, name) => remove(parent, name, true),
  rename(from, fromName, to, toName, flags) {
    if (flags !== 0) throw new FuseError('EINVAL')
    const ino = get(from).names.get(fromName) ?? missing()
    const replaced = get(to).names.get(toName)
    if (replaced === ino) return
    if (replaced !== undefined) remove(to, toName, isFolder(get(ino).attributes.mode))
    get(from).names.delete(fromName)
    add(to, toName, get(ino))
  },
  read({ ino, position }, length) {
    return get(ino).bytes.subarray(position, position + length)
  },
  write({ ino, position }, bytes) {
    const inode = get(ino)
    const end = position + bytes.length
    if (end > inode.bytes.length) resize(inode, end)
    change(inode, { mtime: timeOfMs(Date.now()) })
    return bytes.copy(inode.bytes, position)
  },
  readdir(ino) {
    return [...get(ino).names].map(([name, child]) => {
      const { attributes } = get(child)
      return { name, ino: child, mode: attributes.mode, attributes }
    })
  },
}

const [mountpoint] = process.argv.slice(2)
if (mountpoint === undefined) throw new Error('usage: memory MOUNTPOINT')
make(fileTypes.folder | 0o755, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 })
const mount = await Mount.start(memory, { mountpoint, fsname: 'memory' })
process.on('SIGINT', () => void mount.detach())
process.on('SIGTERM', () => void mount.detach())
console.log(`mounted on ${mountpoint}`)
await mount.ended
