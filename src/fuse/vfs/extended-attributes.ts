/** Extended attributes of inodes, xattr(7): which names exist, and their bounds. Pure. */
import { byteLengthOf } from '../../byte-text.js'
import type { Time } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Inode } from '../../wire/records.js'

/** XATTR_CREATE and XATTR_REPLACE of setxattr(2). */
export const createFlag = 1
const replaceFlag = 2

/**
 * Prefixes of supported names. SELinux labels a mount as a whole: after one refusal ls(1) does not ask for each
 * file's label. Of system.* there are only access control lists.
 */
const namespaces =
  /^(?:user|trusted|security)\.(?!(?<=^security\.)selinux$)|^system\.posix_acl_(?:access|default)$/

/** Read-only and never listed, so that no program copies it: why a file is incomplete, and what failed of it. */
export const whyAttribute = 'user.dfs.why'

/** Whether programs know the attribute: others are of this system, such as what the trash notes. */
export function isOfPrograms(name: string): boolean {
  return namespaces.test(name)
}

/** Whether only callers with CAP_SYS_ADMIN may read and list the attribute: xattr(7). */
export function isTrusted(name: string): boolean {
  return name.startsWith('trusted.')
}

/** The value, or null, which is usual: the kernel asks for an attribute that hardly ever exists at every write. */
export function attributeOf({ attributes }: Inode, name: string): Buffer | null {
  const found = attributes.find((attribute) => attribute.name === name)
  if (found === undefined) assertKind(name)
  return found?.value ?? null
}

/**
 * Sets an attribute. Throws `exists`, `invalid`, `noAttribute`, `range`, `attributeTooLarge`, `noSpace`,
 * `unsupported`.
 */
export function withAttribute(
  inode: Inode,
  name: string,
  value: Buffer,
  flags: number,
  now: Time,
): Inode {
  assertKind(name)
  if (byteLengthOf(name) > limits.attributeNameBytesMax) throw new DfsError('range')
  if (value.length > limits.attributeValueBytesMax) throw new DfsError('attributeTooLarge')
  const exists = inode.attributes.some((attribute) => attribute.name === name)
  if (exists && (flags & createFlag) !== 0) throw new DfsError('exists')
  if (!exists && (flags & replaceFlag) !== 0) throw new DfsError('noAttribute')
  const others = inode.attributes.filter((attribute) => attribute.name !== name)
  const attributes = [...others, { name, value }]
  // Attributes beyond this bound cannot be stored, and a new file with them never could be.
  if (attributes.length > limits.attributesMax) throw new DfsError('noSpace')
  const bytes = attributes.reduce((sum, a) => sum + Buffer.byteLength(a.name) + a.value.length, 0)
  if (bytes > limits.attributesBytesMax) throw new DfsError('noSpace')
  const listed = attributes.reduce((sum, a) => sum + byteLengthOf(a.name) + 1, 0)
  if (listed > limits.attributeNamesBytesMax) throw new DfsError('noSpace')
  return { ...inode, attributes, ctime: now }
}

/** Removes an attribute. Throws `noAttribute`. */
export function withoutAttribute(inode: Inode, name: string, now: Time): Inode {
  if (attributeOf(inode, name) === null) throw new DfsError('noAttribute')
  const attributes = inode.attributes.filter((attribute) => attribute.name !== name)
  return { ...inode, attributes, ctime: now }
}

/** Checks a name. Throws `unsupported`, or `invalid` for a prefix with nothing behind it. */
function assertKind(name: string): void {
  if (!namespaces.test(name)) throw new DfsError('unsupported')
  if (name.endsWith('.') && name.indexOf('.') === name.length - 1) throw new DfsError('invalid')
}
