import t from 'tap'
import { inodeAt } from '../../../src/cli/transfer/past.js'
import { timeOfMs } from '../../../src/clock.js'
import type { Node } from '../../../src/dfc/namespace/cache/node.js'
import type { KeptFile } from '../../../src/dfc/namespace/trash.js'
import { fileType } from '../../../src/wire/records.js'
import { noVersion } from '../../../src/wire/version.js'
import { inodeOf } from '../../fixtures/inodes.js'

/** A content of `size` bytes that was written at one time, of a file that was made at another. */
function nodeOf(size: number, writtenMs: number, madeMs = 1_000): Node {
  const inode = inodeOf({ size, mtime: timeOfMs(writtenMs), btime: timeOfMs(madeMs) })
  return { ino: size, version: noVersion, inode, folder: null }
}

function keptOf(node: Node, sinceMs: number): KeptFile {
  const record = { kind: 'replaced', ino: 7, folder: null, name: 'a', folders: [] } as const
  return { ...record, id: `${sinceMs}`, sinceMs, node, incomplete: false }
}

const versions = [keptOf(nodeOf(1, 1_000), 2_000), keptOf(nodeOf(2, 2_000), 4_000)]
const now = nodeOf(3, 4_000)

t.test('a file was what it was until it was replaced', async (t) => {
  const sizeAt = (atMs: number): number => inodeAt({ versions, now }, atMs).size
  t.same([1_000, 1_999, 2_000, 3_999, 4_000, 9_000].map(sizeAt), [1, 1, 2, 2, 3, 3])
})

t.test('says what is not known of a time', async (t) => {
  const wrong = (history: Parameters<typeof inodeAt>[0], atMs: number, message: RegExp): void => {
    t.throws(() => inodeAt(history, atMs), { code: 'notFound', message })
  }
  wrong({ versions, now }, 999, /no such file then, or it is not kept/)
  wrong({ versions, now: undefined }, 4_000, /it was removed at 1970-01-01T00:00:04.000Z/)
  wrong({ versions: [], now }, 3_000, /what it was then is not kept, the next that is kept is of/)
})

t.test('a folder that was removed is none to be fetched', async (t) => {
  const inode = inodeOf({ mode: fileType.folder | 0o755, mtime: timeOfMs(5_000) })
  const kept = keptOf({ ino: 9, version: noVersion, inode, folder: null }, 6_000)
  t.throws(() => inodeAt({ versions: [kept], now: undefined }, 4_000), { code: 'isDirectory' })
})
