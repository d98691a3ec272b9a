import t from 'tap'
import { timeOfMs } from '../../../../src/clock.js'
import { nodeOf } from '../../../../src/dfc/namespace/cache/folder-summary.js'
import { noVersion, versionOf } from '../../../../src/wire/version.js'
import { inodeOf } from '../../../fixtures/inodes.js'

const ms = 1_700_000_000_000
const at = (ms: number): string => versionOf(ms, 0, '00000001')
const sum = (touched: string) => ({ touched, live: 1, subfolders: 0 })
/** A time half a millisecond after `ms`. */
const made = { seconds: ms / 1000, nanoseconds: 500_000 }
const inode = { ...inodeOf({ size: 0 }), mtime: made, ctime: made }
const shown = (touched: string, own = inode) => {
  const { mtime, ctime } = nodeOf(9, noVersion, own, sum(touched)).inode
  return [mtime, ctime]
}

t.test('the times of a folder are those of its newest change', async (t) => {
  t.same(shown(at(ms + 1)), [timeOfMs(ms + 1), timeOfMs(ms + 1)])
  t.same(
    nodeOf(9, at(ms + 2), inode, sum(at(ms + 1))).inode,
    inode,
    'or its own, if that was newer',
  )
})

t.test('times do not go back within the millisecond of a version', async (t) => {
  t.same(shown(at(ms)), [made, made])
})

t.test(
  'an mtime that was set lasts until the next change, the ctime never goes back',
  async (t) => {
    const future = { seconds: made.seconds + 1000, nanoseconds: 0 }
    const own = { ...inode, mtime: future, ctime: timeOfMs(ms + 5) }
    t.same(shown(at(ms + 4), own), [timeOfMs(ms + 4), timeOfMs(ms + 5)])
  },
)
