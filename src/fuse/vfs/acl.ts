/**
 * POSIX access control lists as ext4 has them: acl(5), linux/posix_acl_xattr.h. Both are kept as extended
 * attributes. What an access ACL grants the owner, the mask and the others is the mode of the file, and
 * the mode alone counts: chmod(2), and clients that know no ACLs, need not touch the list. Pure.
 */
import type { Time } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { fileType, type Inode, typeOf } from '../../wire/records.js'
import { setGroupId } from './attributes.js'
import { attributeOf, withAttribute, withoutAttribute } from './extended-attributes.js'

export const accessAcl = 'system.posix_acl_access'
/** Of a folder: what is made in it gets this one. */
export const defaultAcl = 'system.posix_acl_default'

export interface AclEntry {
  readonly tag: number
  /** As in a mode: 4 read, 2 write, 1 execute. */
  readonly permissions: number
  /** Of a named user or group; else `noId`. */
  readonly id: number
}

export const aclTags = { owner: 1, user: 2, ownerGroup: 4, group: 8, mask: 16, others: 32 } as const
export const noId = 0xffff_ffff

const version = 2
const headerBytes = 4
const entryBytes = 8
const permissionBits = 0o777

/** Their order in a list, each as a letter: only with a mask can there be named users and groups. */
const orders = /^o(?:u*gn*m|g)e$/
const letters = new Map<number, string>([
  [aclTags.owner, 'o'],
  [aclTags.user, 'u'],
  [aclTags.ownerGroup, 'g'],
  [aclTags.group, 'n'],
  [aclTags.mask, 'm'],
  [aclTags.others, 'e'],
])

export function isAcl(name: string): boolean {
  return name === accessAcl || name === defaultAcl
}

/** No entries mean no list. Throws `invalid`, and `unsupported` for another version of the format. */
export function parseAcl(value: Buffer): readonly AclEntry[] {
  if (value.length < headerBytes || (value.length - headerBytes) % entryBytes !== 0) {
    throw new DfsError('invalid')
  }
  if (value.readUInt32LE(0) !== version) throw new DfsError('unsupported')
  const entries: AclEntry[] = []
  for (let at = headerBytes; at < value.length; at += entryBytes) {
    const tag = value.readUInt16LE(at)
    const isNamed = tag === aclTags.user || tag === aclTags.group
    const id = isNamed ? value.readUInt32LE(at + 4) : noId
    const permissions = value.readUInt16LE(at + 2)
    if (permissions > 7 || (isNamed && id === noId)) throw new DfsError('invalid')
    entries.push({ tag, permissions, id })
  }
  const order = entries.map(({ tag }) => letters.get(tag) ?? '?').join('')
  if (order !== '' && !orders.test(order)) throw new DfsError('invalid')
  return entries
}

export function formatAcl(entries: readonly AclEntry[]): Buffer {
  const value = Buffer.alloc(headerBytes + entries.length * entryBytes)
  value.writeUInt32LE(version, 0)
  for (const [index, { tag, permissions, id }] of entries.entries()) {
    const at = headerBytes + index * entryBytes
    value.writeUInt16LE(tag, at)
    value.writeUInt16LE(permissions, at + 2)
    value.writeUInt32LE(id, at + 4)
  }
  return value
}

/** The nine permission bits that a list stands for: those of the group are the mask, if there is one. */
export function modeOfAcl(entries: readonly AclEntry[]): number {
  const of = (tag: number): number | undefined =>
    entries.find((entry) => entry.tag === tag)?.permissions
  const group = of(aclTags.mask) ?? of(aclTags.ownerGroup) ?? 0
  return ((of(aclTags.owner) ?? 0) << 6) | (group << 3) | (of(aclTags.others) ?? 0)
}

/** What getxattr(2) says of `name`; null when there is no such list. */
export function aclOf(inode: Inode, name: string): Buffer | null {
  const value = attributeOf(inode, name)
  return value === null || name === defaultAcl ? value : formatAcl(withModeIn(value, inode.mode))
}

/**
 * setxattr(2) of `name`. An access ACL changes the mode, and one that says no more than a mode is not
 * kept. `losesGroupId`: the caller may not keep the set-group-ID bit. The very same inode when nothing
 * changes. Throws `access` for the default ACL of what is no folder, `invalid`, `unsupported`, and what
 * `withAttribute` does.
 */
export function withAcl(
  inode: Inode,
  name: string,
  value: Buffer,
  losesGroupId: boolean,
  now: Time,
): Inode {
  const entries = parseAcl(value)
  const isAccess = name === accessAcl
  if (!isAccess && typeOf(inode.mode) !== fileType.folder) {
    if (entries.length === 0) return inode
    throw new DfsError('access')
  }
  const mode =
    isAccess && entries.length > 0 ? modeWith(inode.mode, entries, losesGroupId) : inode.mode
  const isKept = isAccess ? saysMoreThanMode(entries) : entries.length > 0
  const old = aclOf(inode, name)
  const list = isKept ? formatAcl(entries) : null
  const isSame = old === null || list === null ? old === list : old.equals(list)
  if (isSame && mode === inode.mode) return inode
  const changed = { ...inode, mode, ctime: now }
  if (list !== null) return withAttribute(changed, name, list, 0, now)
  return old === null ? changed : withoutAttribute(changed, name, now)
}

/**
 * What is made in `folder` with `mode` gets from its default ACL, if it has one; the umask does not count
 * then. A mode never grants more than was asked for.
 */
export function inheritedAcls(
  folder: Inode,
  mode: number,
): Pick<Inode, 'mode' | 'attributes'> | undefined {
  const value = attributeOf(folder, defaultAcl)
  if (value === null) return undefined
  const entries = parseAcl(value)
  const access = saysMoreThanMode(entries) ? [{ name: accessAcl, value }] : []
  const forOthers = typeOf(mode) === fileType.folder ? [{ name: defaultAcl, value }] : []
  return {
    mode: mode & (modeOfAcl(entries) | ~permissionBits),
    attributes: [...access, ...forOthers],
  }
}

function modeWith(mode: number, entries: readonly AclEntry[], losesGroupId: boolean): number {
  const kept = mode & ~permissionBits & ~(losesGroupId ? setGroupId : 0)
  return kept | modeOfAcl(entries)
}

/** Owner, group and others are all that a mode can say. */
function saysMoreThanMode(entries: readonly AclEntry[]): boolean {
  return entries.length > 3
}

function withModeIn(value: Buffer, mode: number): readonly AclEntry[] {
  const shifts = new Map<number, number>([
    [aclTags.owner, 6],
    [aclTags.mask, 3],
    [aclTags.others, 0],
  ])
  return parseAcl(value).map((entry) => {
    const shift = shifts.get(entry.tag)
    return shift === undefined ? entry : { ...entry, permissions: (mode >> shift) & 7 }
  })
}
