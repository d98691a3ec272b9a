import t from 'tap'
import { systemClock } from '../../../../src/clock.js'
import { NodeCache } from '../../../../src/dfc/namespace/cache/node-cache.js'
import { TransactionBuilder } from '../../../../src/dfc/namespace/plans/transaction-builder.js'
import { encodeInode, entryKey, inodeKey } from '../../../../src/wire/records.js'
import { noVersion, versionOf } from '../../../../src/wire/version.js'
import { inodeOf } from '../../../fixtures/inodes.js'

const inode = inodeOf({ size: 3 })
const seen = versionOf(1_000, 0, '00000001')
const id = versionOf(2_000, 0, '00000001')

t.test('a register has one write and one precondition, the last ones', async (t) => {
  const change = new TransactionBuilder(new NodeCache(systemClock, () => undefined))
  change.requireNode({ ino: 7, version: noVersion, inode, folder: null })
  change.requireEntry(1, 'a', { ino: 7, type: 8, version: seen })
  change.requireNode({ ino: 7, version: seen, inode, folder: null })
  change.writeNode(7, { ...inode, size: 1 })
  change.writeEntry(1, 'a', null)
  change.writeNode(7, inode)
  change.requireEmpty(9)
  t.same(change.plan({}, () => undefined).body, {
    writes: [
      { key: inodeKey(7), value: encodeInode(inode) },
      { key: entryKey(1, 'a'), value: null },
    ],
    preconditions: [
      { key: inodeKey(7), absent: false, version: seen },
      { key: entryKey(1, 'a'), absent: false, version: seen },
    ],
    emptyFolders: [9],
  })
})

t.test('the cache has the written values after the commit, and not before', async (t) => {
  const cache = new NodeCache(systemClock, () => undefined)
  const askedMs = systemClock.monotonic()
  cache.writeNode(8, { id: seen, askedMs }, inode)
  const change = new TransactionBuilder(cache)
  change.requireNoNode(7)
  change.writeEntry(1, 'a', { ino: 7, type: 8 })
  change.writeNode(7, inode)
  change.deleteNode(8, { ...inode, nlink: 0 })
  const plan = change.plan({}, () => [change.outcome(7), change.outcome(8)])
  t.equal(cache.staleNode(7), undefined)
  t.equal(cache.staleNode(8)?.version, seen)
  t.throws(() => change.outcome(7), { message: /committed/ })
  const outcomes = plan.done({ id, askedMs })
  t.same(outcomes, [
    { ino: 7, version: id, inode, folder: null },
    { ino: 8, version: id, inode: { ...inode, nlink: 0 }, folder: null },
  ])
  t.same(cache.staleEntry(1, 'a'), { ino: 7, type: 8, version: id })
  t.equal(cache.staleNode(7), outcomes[0])
  t.equal(cache.staleNode(8), undefined)
})
