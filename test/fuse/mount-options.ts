import t from 'tap'
import { parseMountOptions } from '../../src/fuse/mount-options.js'

t.test('reads the words behind -o, in one list or several', async (t) => {
  const nothing = { dev: undefined, suid: undefined, fsname: undefined, dirSync: false }
  t.same(parseMountOptions([]), { ...nothing, readOnly: false, allowOther: false, acl: false })
  t.same(parseMountOptions(['ro,allow_other', 'noatime,default_permissions,fsname=a=b']), {
    ...nothing,
    readOnly: true,
    allowOther: true,
    acl: false,
    fsname: 'a=b',
  })
  t.match(parseMountOptions(['nodev,suid']), { dev: false, suid: true })
  t.equal(parseMountOptions(['acl']).acl, true)
  t.equal(parseMountOptions(['dirsync']).dirSync, true)
  t.equal(parseMountOptions(['acl,noacl']).acl, false)
  t.equal(parseMountOptions(['ro,rw']).readOnly, false, 'the last word wins')
})

t.test('refuses a word that it does not know, and says which there are', async (t) => {
  for (const word of ['nosuchword', 'toString', 'ro=1', 'fsname', 'fsname=']) {
    t.throws(() => parseMountOptions([word]), { code: 'configuration' }, word)
  }
  t.throws(() => parseMountOptions(['x']), { message: /not known; there is ro, rw/ })
})
