import t from 'tap'
import { parseMountOptions, withoutWordsOfHelper } from '../../../src/fuse/mount/mount-options.js'

const nothing = {
  readOnly: undefined,
  allowOther: false,
  defaultPermissions: false,
  acl: false,
  dirSync: false,
  sync: undefined,
  noAtime: undefined,
  fsname: undefined,
  exec: undefined,
  dev: undefined,
  suid: undefined,
  nonEmpty: false,
  waitMs: 0,
  remount: false,
  isComplete: false,
}

t.test('reads the words behind -o, in one list or several', async (t) => {
  t.same(parseMountOptions([]), nothing)
  t.same(parseMountOptions(['ro,allow_other', 'noatime,default_permissions,fsname=a=b']), {
    ...nothing,
    readOnly: true,
    allowOther: true,
    defaultPermissions: true,
    noAtime: true,
    fsname: 'a=b',
  })
  t.match(parseMountOptions(['nodev,suid,noexec']), { dev: false, suid: true, exec: false })
  t.match(parseMountOptions(['acl,dirsync,sync,nonempty,remount']), {
    acl: true,
    dirSync: true,
    sync: true,
    nonEmpty: true,
    remount: true,
  })
  t.equal(parseMountOptions(['acl,noacl']).acl, false)
  t.equal(parseMountOptions(['ro,rw']).readOnly, false, 'the last word wins')
  t.equal(parseMountOptions(['sync,async']).sync, false)
  t.equal(parseMountOptions(['noatime,relatime']).noAtime, false)
})

t.test('words for mount(8) and systemd ask for nothing', async (t) => {
  const words =
    'defaults,auto,noauto,nofail,_netdev,nouser,mand,nomand,iversion,noiversion,symfollow,strictatime,lazytime,nodiratime'
  t.same(parseMountOptions([words]), nothing)
  t.same(parseMountOptions(['x-systemd.automount,X-any.thing=1,comment=a b,nodiscard']), nothing)
  t.same(parseMountOptions(['x-label="a,ro,b",group_id=0,max_read=1']), nothing)
  t.same(parseMountOptions(['rw,user_id=0']), { ...nothing, readOnly: false, isComplete: true })
})

t.test(
  'words for users imply the words of fstab(5), unless a later word undoes them',
  async (t) => {
    const secure = { exec: false, dev: false, suid: false }
    for (const word of ['user', 'user=alice', 'users']) t.match(parseMountOptions([word]), secure)
    for (const word of ['owner', 'group']) {
      t.match(parseMountOptions([word]), { ...secure, exec: undefined })
    }
    t.match(parseMountOptions(['user,exec']), { ...secure, exec: true })
  },
)

t.test('wait takes a time', async (t) => {
  const times = { '0s': 0, '60s': 60_000, '5m': 300_000, '5min': 300_000, '24h': 86_400_000 }
  for (const [text, ms] of Object.entries(times)) {
    t.equal(parseMountOptions([`wait=${text}`]).waitMs, ms, text)
  }
  for (const wrong of ['wait', 'wait=', 'wait=-1s', 'wait=25h', 'wait=1d']) {
    t.throws(
      () => parseMountOptions([wrong]),
      { message: /expected a time such as wait=60s/ },
      wrong,
    )
  }
})

t.test('refuses an unknown word, and lists the known ones', async (t) => {
  for (const word of ['nosuchword', 'toString', 'ro=1', 'fsname', 'fsname=']) {
    t.throws(() => parseMountOptions([word]), { code: 'configuration' }, word)
  }
  t.throws(() => parseMountOptions(['x']), { message: /unknown word, expected one of ro, rw/ })
  t.same(parseMountOptions(['x,nosuchword'], true), nothing, 'unless it may be sloppy')
})

t.test('words that mount.fuse(8) adds to every mount are removed', async (t) => {
  t.equal(withoutWordsOfHelper('rw,dev,suid'), 'rw')
  t.equal(withoutWordsOfHelper('ro,nosuid,dev'), 'ro,nosuid')
  t.equal(withoutWordsOfHelper('rw,nodev,noatime,suid'), 'rw,nodev,noatime')
  for (const typed of ['suid,dev', 'dev,suid', 'noatime,suid', 'ro']) {
    t.equal(withoutWordsOfHelper(typed), typed)
  }
})
