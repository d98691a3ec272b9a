import t from 'tap'
import {
  attributeOf,
  withAttribute,
  withoutAttribute,
} from '../../../src/fuse/vfs/extended-attributes.js'
import { limits } from '../../../src/limits.js'
import { decodeInode, encodeInode, type Inode } from '../../../src/wire/records.js'

const now = { seconds: 9, nanoseconds: 0 }
const nowhere = { seconds: 0, nanoseconds: 0 }
const value = Buffer.from('value')
const bare: Inode = {
  mode: 0,
  uid: 0,
  gid: 0,
  nlink: 1,
  size: 0,
  rdev: 0,
  parent: 0,
  atime: nowhere,
  mtime: nowhere,
  ctime: nowhere,
  btime: nowhere,
  target: '',
  attributes: [],
  segments: [],
  extents: [],
}
const one = withAttribute(bare, 'user.a', value, 0, now)

t.test('an attribute is there until it is removed', async (t) => {
  t.same(attributeOf(one, 'user.a'), value)
  t.equal(one.ctime, now)
  t.equal(attributeOf(one, 'user.b'), null)
  t.same(withoutAttribute(one, 'user.a', now).attributes, [])
  t.throws(() => withoutAttribute(bare, 'user.a', now), { code: 'noAttribute' })
})

t.test('XATTR_CREATE and XATTR_REPLACE are respected', async (t) => {
  t.throws(() => withAttribute(one, 'user.a', value, 1, now), { code: 'exists' })
  t.throws(() => withAttribute(one, 'user.b', value, 2, now), { code: 'noAttribute' })
  const other = Buffer.from('other')
  t.same(attributeOf(withAttribute(one, 'user.a', other, 2, now), 'user.a'), other)
})

t.test('unknown namespaces are refused', async (t) => {
  for (const name of ['system.nonsense', 'system.posix_acl_accesses', 'nonsense']) {
    t.throws(() => withAttribute(bare, name, value, 0, now), { code: 'unsupported' }, name)
    t.throws(() => attributeOf(bare, name), { code: 'unsupported' }, name)
  }
  t.throws(() => withAttribute(bare, 'user.', value, 0, now), { code: 'invalid' })
  t.throws(() => attributeOf(bare, 'user.'), { code: 'invalid' })
})

t.test('names, values and their sum are bounded', async (t) => {
  const big = Buffer.alloc(65_537)
  t.throws(() => withAttribute(bare, 'user.a', big, 0, now), { code: 'attributeTooLarge' })
  const full = withAttribute(bare, 'user.a', Buffer.alloc(65_536), 0, now)
  const other = withAttribute(full, 'user.a', Buffer.alloc(65_536, 1), 0, now)
  t.equal(other.attributes[0]?.value[0], 1, 'the largest value takes the place of another one')
  t.throws(() => withAttribute(full, 'user.b', Buffer.alloc(65_530), 0, now), { code: 'noSpace' })
  let many = bare
  for (let count = 0; count < 250; count += 1) {
    many = withAttribute(many, `user.${count}${'\u{10ffe9}'.repeat(100)}`, value, 0, now)
  }
  t.equal(decodeInode(encodeInode(many)).attributes.length, 250, 'names are bytes')
  t.throws(() => withAttribute(bare, `user.${'a'.repeat(255)}`, value, 0, now), { code: 'range' })
})

t.test('no file gets more attributes than can be stored', async (t) => {
  const none = Buffer.alloc(0)
  let inode = bare
  for (let count = 0; count < limits.attributesMax; count += 1) {
    inode = withAttribute(inode, `user.${count}`, none, 0, now)
  }
  t.throws(() => withAttribute(inode, 'user.more', none, 0, now), { code: 'noSpace' })
  t.same(
    decodeInode(encodeInode(withAttribute(inode, 'user.0', value, 0, now))).attributes.length,
    1024,
  )
})
