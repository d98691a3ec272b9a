import t from 'tap'
import type { ListedName, Node } from '../../../src/dfc/namespace/cache/node.js'
import {
  isSmallFile,
  isSmallFolder,
  ReaddirPrefetch,
} from '../../../src/fuse/vfs/readdir-prefetch.js'
import { limits } from '../../../src/limits.js'
import { inodeOf } from '../../fixtures/inodes.js'

const segment = { id: '1'.repeat(32), length: 10, md5: '1'.repeat(32) }

/** A folder of files of these sizes, called by their positions. */
function folderOf(sizes: readonly number[]): ListedName[] {
  return sizes.map((size, ino) => {
    const inode = inodeOf({ size, segments: size === 0 ? [] : [segment] })
    const node: Node = { ino, version: '0'.repeat(24), inode, folder: null }
    return { name: `f${ino}`, ino, type: 8, node, incomplete: false }
  })
}

const inosOf = (nodes: readonly Node[]): number[] => nodes.map(({ ino }) => ino)
const ahead = limits.siblingsAheadMax

t.test('files that are opened in order have followers, each named once', async (t) => {
  const prefetch = new ReaddirPrefetch(isSmallFile, limits.siblingsAheadMax)
  prefetch.note(7, folderOf(Array.from({ length: 100 }, () => 10)))
  t.same(inosOf(prefetch.nextAfter(7, 'f0')), [])
  const first = inosOf(prefetch.nextAfter(7, 'f1'))
  t.same(
    first,
    Array.from({ length: ahead }, (_, index) => index + 2),
  )
  t.same(inosOf(prefetch.nextAfter(7, 'f2')), [], 'those will do for a while')
  t.same(inosOf(prefetch.nextAfter(7, 'f2')), [], 'opened once more')
  t.same(inosOf(prefetch.nextAfter(7, 'f4')), [], 'one was left out')
  const half = ahead / 2
  const more = Array.from({ length: half + 1 }, (_, index) => index + 2 + ahead)
  t.same(inosOf(prefetch.nextAfter(7, `f${2 + half}`)), more, 'half of them are left')
})

t.test('files that are opened in no order have none', async (t) => {
  const prefetch = new ReaddirPrefetch(isSmallFile, limits.siblingsAheadMax)
  prefetch.note(7, folderOf(Array.from({ length: 100 }, () => 10)))
  for (const name of ['f0', 'f50', 'f20', 'f90', 'f10']) t.same(prefetch.nextAfter(7, name), [])
  t.same(prefetch.nextAfter(8, 'f0'), [], 'nor in a folder that was not listed')
  t.same(prefetch.nextAfter(7, 'other'), [], 'nor of a name that was not')
})

t.test('only small files with something in them are named', async (t) => {
  const prefetch = new ReaddirPrefetch(isSmallFile, limits.siblingsAheadMax)
  const big = limits.inlineContentBytesMax + 1
  prefetch.note(7, folderOf([10, 10, 0, big, 10]))
  prefetch.nextAfter(7, 'f0')
  t.same(inosOf(prefetch.nextAfter(7, 'f1')), [4])
})

t.test('folders that are opened in order have followers that are folders', async (t) => {
  const prefetch = new ReaddirPrefetch(isSmallFolder, limits.siblingFoldersAheadMax)
  const live = [3, 3, 3, 0, limits.siblingFolderNamesMax + 1, 5]
  const folders = folderOf(live.map(() => 0)).map((listed, index) => {
    const folder = { touched: '0'.repeat(24), live: live[index] ?? 0, subfolders: 0 }
    return { ...listed, node: listed.node && { ...listed.node, folder } }
  })
  const file = { name: 'g', ino: 99, type: 8, node: folderOf([10])[0]?.node, incomplete: false }
  prefetch.note(7, [...folders, file])
  t.same(inosOf(prefetch.nextAfter(7, 'f0')), [])
  t.same(inosOf(prefetch.nextAfter(7, 'f1')), [2, 3, 5], 'not what has too many names')
})
