/**
 * POSIX access control lists with the semantics of ext4: acl(5), linux/posix_acl_xattr.h. Both lists are stored as
 * extended attributes. The permissions of the owner, the mask and others in an access ACL are those of the file's
 * mode, and the mode takes precedence: chmod(2), and clients without ACLs, need not change the list. Pure.
 */
import type { Time } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { fileType, type Inode, typeOf } from '../../wire/records.js'
import { setGroupId } from './attributes.js'
import { attributeOf, withAttribute, withoutAttribute } from './extended-attributes.js'

export const accessAcl = 'system.posix_acl_access'
/** The list that new files in a folder get. */
export const defaultAcl = 'system.posix_acl_default'

export interface AclEntry {
  readonly tag: number
  /** Permissions as in a mode: 4 read, 2 write, 1 execute. */
  readonly permissions: number
  /** Id of a named user or group; otherwise `noId`. */
  readonly id: number
}

export const aclTags = { owner: 1, user: 2, ownerGroup: 4, group: 8, mask: 16, others: 32 } as const
export const noId = 0xffff_ffff

const version = 2
const headerBytes = 4
const entryBytes = 8
const permissionBits = 0o777

/** The order of entries in a list, a letter each: named users and groups need a mask. */
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

/**
 * Parses a list. One without entries means that there is no list. Throws `invalid`, and `unsupported` for another
 * version of the format.
 */
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

/** The nine permission bits of a list. Those of the group are the mask, if there is one. */
export function modeOfAcl(entries: readonly AclEntry[]): number {
  const of = (tag: number): number | undefined =>
    entries.find((entry) => entry.tag === tag)?.permissions
  const group = of(aclTags.mask) ?? of(aclTags.ownerGroup) ?? 0
  return ((of(aclTags.owner) ?? 0) << 6) | (group << 3) | (of(aclTags.others) ?? 0)
}

/** The list that getxattr(2) returns for `name`, or null when there is none. */
export function aclOf(inode: Inode, name: string): Buffer | null {
  const value = attributeOf(inode, name)
  return value === null || name === defaultAcl ? value : formatAcl(withModeIn(value, inode.mode))
}

/**
 * Sets the list `name`, as setxattr(2) does. An access ACL changes the mode, and one that says no more than a mode is
 * not stored. `losesGroupId`: the caller may not keep the set-group-ID bit. Returns the very same inode when nothing
 * changes. Throws `access` for a default ACL of anything but a folder, `invalid`, `unsupported`, and the errors of
 * `withAttribute`.
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
 * The mode and lists of something created in `folder` with `mode`, from the folder's default ACL. With one, the umask
 * does not count. A mode never grants more than was requested.
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

/** Whether a list has more than the owner, group and others of a mode. */
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
