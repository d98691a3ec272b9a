import t from 'tap'
import { parseMountOptions } from '../../../src/fuse/mount/mount-options.js'
import { flagsAfter } from '../../../src/fuse/mount/remount.js'

const had = ['ro', 'nosuid', 'nodev', 'noatime', 'user_id=0']
const [ro, nosuid, nodev, noexec, sync, noatime] = [1, 2, 4, 8, 16, 1024]
const after = (words: string) => flagsAfter(had, parseMountOptions([words]))

t.test('a remount changes the flags that it names, and no others', async (t) => {
  t.equal(after('remount'), ro | nosuid | nodev | noatime)
  t.equal(after('remount,rw'), nosuid | nodev | noatime)
  t.equal(after('remount,rw,suid,dev,noexec,sync'), noexec | sync | noatime)
  t.equal(after('remount,user'), ro | nosuid | nodev | noexec | noatime)
})

t.test('a complete list, as mount(8) makes it, clears the flags that it lacks', async (t) => {
  // mount(8) turns "remount,suid" into this list for such a mount.
  t.equal(after('ro,nodev,noatime,remount,user_id=0,group_id=0'), ro | nodev | noatime)
})
