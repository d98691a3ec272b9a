import t from 'tap'
import {
  type AclEntry,
  accessAcl,
  aclOf,
  aclTags,
  defaultAcl,
  formatAcl,
  inheritedAcls,
  modeOfAcl,
  noId,
  parseAcl,
  withAcl,
} from '../../../src/fuse/vfs/acl.js'
import { withMode } from '../../../src/fuse/vfs/attributes.js'
import { withAttribute } from '../../../src/fuse/vfs/extended-attributes.js'
import { limits } from '../../../src/limits.js'
import { fileType, type Inode } from '../../../src/wire/records.js'

const { owner, user, ownerGroup, group, mask, others } = aclTags
const now = { seconds: 9, nanoseconds: 0 }
const before = { seconds: 1, nanoseconds: 0 }

function inodeOf(mode: number, attributes: Inode['attributes'] = []): Inode {
  return {
    mode,
    uid: 1,
    gid: 2,
    nlink: 1,
    size: 0,
    rdev: 0,
    parent: 0,
    atime: before,
    mtime: before,
    ctime: before,
    btime: before,
    target: '',
    attributes,
    segments: [],
    extents: [],
  }
}

const entry = (tag: number, permissions: number, id = noId): AclEntry => ({ tag, permissions, id })
const minimal = [entry(owner, 6), entry(ownerGroup, 4), entry(others, 0)]
/** u::rw-,u:1001:rwx,g::r--,g:7:rw-,m::rw-,o::r-- */
const full = [
  entry(owner, 6),
  entry(user, 7, 1001),
  entry(ownerGroup, 4),
  entry(group, 6, 7),
  entry(mask, 6),
  entry(others, 4),
]
const file = inodeOf(fileType.file | 0o2640)
const folder = inodeOf(fileType.folder | 0o755)
const set = (inode: Inode, name: string, entries: readonly AclEntry[], losesGroupId = false) =>
  withAcl(inode, name, formatAcl(entries), losesGroupId, now)
const read = (inode: Inode, name: string) => parseAcl(aclOf(inode, name) ?? Buffer.alloc(0))

t.test('a list has the format of the kernel', async (t) => {
  // setfacl -m u:1001:rwx: what getfattr -e hex shows of it on ext4.
  const hex =
    '0200000001000600ffffffff02000700e903000004000400ffffffff10000700ffffffff20000400ffffffff'
  const entries = parseAcl(Buffer.from(hex, 'hex'))
  t.same(entries, [
    entry(owner, 6),
    entry(user, 7, 1001),
    entry(ownerGroup, 4),
    entry(mask, 7),
    entry(others, 4),
  ])
  t.equal(formatAcl(entries).toString('hex'), hex)
  t.equal(modeOfAcl(entries), 0o674)
  t.equal(modeOfAcl(minimal), 0o640)
})

t.test('bytes that are no list are refused', async (t) => {
  const bytes = formatAcl(full)
  for (let length = 0; length < bytes.length; length += 1) {
    // Cut between two entries it is a list without its end; nothing but the header means none.
    if (length === 4) continue
    t.throws(() => parseAcl(bytes.subarray(0, length)), { code: 'invalid' }, `${length} bytes`)
  }
  t.throws(() => parseAcl(Buffer.concat([bytes, Buffer.alloc(1)])), { code: 'invalid' })
  t.throws(() => parseAcl(Buffer.from('0100000001', 'hex')), { code: 'invalid' })
  t.throws(() => parseAcl(Buffer.from('01000000', 'hex')), { code: 'unsupported' })
  const wrong: readonly (readonly AclEntry[])[] = [
    [entry(owner, 6), entry(ownerGroup, 4)],
    [entry(owner, 6), entry(owner, 6), entry(ownerGroup, 4), entry(others, 4)],
    [entry(ownerGroup, 4), entry(owner, 6), entry(others, 4)],
    [entry(owner, 6), entry(user, 6, 5), entry(ownerGroup, 4), entry(others, 4)],
    [entry(owner, 6), entry(user, 6), entry(ownerGroup, 4), entry(mask, 4), entry(others, 4)],
    [entry(owner, 8), entry(ownerGroup, 4), entry(others, 4)],
    [entry(owner, 6), entry(ownerGroup, 4), entry(64, 4), entry(others, 4)],
  ]
  for (const entries of wrong) {
    t.throws(() => parseAcl(formatAcl(entries)), { code: 'invalid' }, JSON.stringify(entries))
  }
})

t.test(
  'an access ACL sets the mode, and one that says no more than that is not kept',
  async (t) => {
    const listed = set(file, accessAcl, full)
    t.match(listed, { mode: fileType.file | 0o2664, ctime: now })
    t.same(read(listed, accessAcl), full)
    const plain = set(listed, accessAcl, minimal)
    t.match(plain, { mode: fileType.file | 0o2640, attributes: [] })
    t.equal(aclOf(plain, accessAcl), null)
  },
)

t.test('the set-group-ID bit goes where the caller may not keep it', async (t) => {
  t.equal(set(file, accessAcl, full, true).mode, fileType.file | 0o664)
  t.equal(set(file, accessAcl, minimal, true).mode, fileType.file | 0o640)
  const shared = inodeOf(fileType.folder | 0o2755)
  t.equal(set(shared, defaultAcl, full, true).mode, shared.mode, 'not for a default ACL')
})

t.test('chmod changes what the list grants the owner, the mask and the others', async (t) => {
  const changed = withMode(set(file, accessAcl, full), 0o710, now)
  t.same(read(changed, accessAcl), [
    entry(owner, 7),
    entry(user, 7, 1001),
    entry(ownerGroup, 4),
    entry(group, 6, 7),
    entry(mask, 1),
    entry(others, 0),
  ])
})

t.test('setting the same list leaves the inode as it is', async (t) => {
  const listed = set(file, accessAcl, full)
  t.equal(set(listed, accessAcl, full), listed)
  t.equal(set(file, accessAcl, minimal), file)
  t.equal(set(file, accessAcl, []), file)
  t.equal(set(file, defaultAcl, []), file)
  t.not(set(withMode(listed, 0o600, now), accessAcl, full), listed, 'but the mode counts')
})

t.test('a list without entries takes away the one that was there', async (t) => {
  const listed = set(folder, defaultAcl, minimal)
  t.same(read(listed, defaultAcl), minimal, 'a default ACL is kept as it is')
  t.same(set(listed, defaultAcl, []).attributes, [])
  const { mode, attributes } = set(set(file, accessAcl, full), accessAcl, [])
  t.same({ mode, attributes }, { mode: fileType.file | 0o2664, attributes: [] })
})

t.test('only folders have a default ACL', async (t) => {
  t.throws(() => set(file, defaultAcl, full), { code: 'access' })
  t.throws(() => withAcl(file, defaultAcl, Buffer.from('?'), false, now), { code: 'invalid' })
})

t.test('a new file gets no more rights than the default ACL of its folder grants', async (t) => {
  t.equal(inheritedAcls(folder, fileType.file | 0o666), undefined)
  const listed = set(folder, defaultAcl, full)
  const made = inheritedAcls(listed, fileType.file | 0o4622)
  t.equal(made?.mode, fileType.file | 0o4620)
  t.same(read(inodeOf(made?.mode ?? 0, made?.attributes), accessAcl), [
    entry(owner, 6),
    entry(user, 7, 1001),
    entry(ownerGroup, 4),
    entry(group, 6, 7),
    entry(mask, 2),
    entry(others, 0),
  ])
  t.equal(aclOf(inodeOf(0, made?.attributes), defaultAcl), null, 'a file passes nothing on')
  const below = inheritedAcls(listed, fileType.folder | 0o777)
  t.same(read(inodeOf(0, below?.attributes), defaultAcl), full, 'a folder does')
  const plain = inheritedAcls(set(folder, defaultAcl, minimal), fileType.file | 0o777)
  t.same(plain, { mode: fileType.file | 0o640, attributes: [] })
})

t.test('a list counts in what the attributes of a file may have', async (t) => {
  const half = Buffer.alloc(limits.attributesBytesMax / 2)
  const more = Buffer.alloc(half.length - 40)
  const crowded = withAttribute(file, 'user.a', half, 0, now)
  const fullUp = withAttribute(crowded, 'user.b', more, 0, now)
  t.throws(() => set(fullUp, accessAcl, full), { code: 'noSpace' })
  t.same(read(set(crowded, accessAcl, full), accessAcl), full)
})
