import t from 'tap'
import type { Node } from '../../../src/dfc/namespace/cache/node.js'
import { VersionRule } from '../../../src/dfc/namespace/version-rule.js'
import { limits } from '../../../src/limits.js'
import type { Inode } from '../../../src/wire/records.js'
import { versionOf } from '../../../src/wire/version.js'
import { inodeOf } from '../../fixtures/inodes.js'

/** A content of segments of 100 bytes with these letters for ids, one behind the other. */
function contentOf(...letters: readonly string[]): Partial<Inode> {
  return {
    size: letters.length * 100,
    segments: letters.map((letter) => ({
      id: letter.repeat(32),
      length: 100,
      md5: letter.repeat(32),
    })),
    extents: letters.map((_, index) => ({
      at: index * 100,
      segment: index,
      offset: 0,
      length: 100,
    })),
  }
}

function nodeOf(content: Partial<Inode>, writtenMs: number): Node {
  const version = versionOf(writtenMs, 0, '00000001')
  return { ino: 7, version, inode: inodeOf(content), folder: null }
}

/** How many versions come of a file that is written every `stepMs` for so many minutes. */
function versionsOf(minutes: number, stepMs: number, contentAt: (round: number) => Partial<Inode>) {
  const rule = new VersionRule()
  const startMs = Date.UTC(2026, 10, 29)
  let node = nodeOf(contentAt(0), startMs)
  let kept = 0
  for (let round = 1; round * stepMs <= minutes * 60_000; round += 1) {
    const nowMs = startMs + round * stepMs
    const after = inodeOf(contentAt(round))
    if (rule.keeps(node, after, nowMs)) {
      rule.kept(node.ino, nowMs)
      kept += 1
    }
    node = nodeOf(after, nowMs)
  }
  return kept
}

const letter = (round: number): string => (round % 16).toString(16)

t.test('a file that is replaced every second has a version a minute, and a few more', async (t) => {
  const count = versionsOf(60, 1_000, (round) => contentOf(letter(round)))
  t.ok(count >= 60 && count <= 130, `${count} of 3600`)
})

t.test('a file that is saved now and then has each version', async (t) => {
  t.equal(
    versionsOf(60, 5 * 60_000, (round) => contentOf(letter(round))),
    12,
  )
  const rule = new VersionRule()
  const nowMs = 90_000
  t.ok(
    rule.keeps(nodeOf(contentOf('a'), nowMs), inodeOf(contentOf('b')), nowMs + 1),
    'a first save',
  )
})

t.test('a file that only grows has a version in ten minutes', async (t) => {
  const grown = (round: number) =>
    contentOf(...Array.from({ length: round + 1 }, (_, at) => letter(at)))
  t.equal(versionsOf(60, 10_000, grown), (60_000 * 60) / limits.appendIntervalMs)
})

t.test('keeps nothing where nothing is lost', async (t) => {
  const rule = new VersionRule()
  const later = 10 * limits.appendIntervalMs
  const node = nodeOf(contentOf('a', 'b'), 0)
  t.notOk(rule.keeps(node, node.inode, later), 'the content stays')
  t.notOk(rule.keeps(nodeOf({ size: 5 }, 0), inodeOf(contentOf('a')), later), 'zeros')
  const open = { ...node, inode: { ...node.inode, nlink: 0 } }
  t.notOk(rule.keeps(open, inodeOf(contentOf('c')), later), 'it has no name')
  t.ok(rule.keeps(node, inodeOf(contentOf('a')), later), 'it is cut')
  t.ok(rule.keeps(node, inodeOf({ ...contentOf('a', 'c') }), later))
  const longer = contentOf('a', 'b')
  const extents = (longer.extents ?? []).map((extent) => ({ ...extent, length: 50 }))
  t.ok(rule.keeps(node, inodeOf({ ...longer, extents }), 1), 'it has a hole')
})

t.test(
  'a file of one name that is made and removed every second is kept now and then',
  async (t) => {
    const rule = new VersionRule()
    const startMs = Date.UTC(2026, 10, 29)
    const place = { parent: 1, name: 'journal' }
    let kept = 0
    for (let round = 0; round < 3600; round += 1) {
      const nowMs = startMs + round * 1_000
      if (!rule.keepsRemoved(nodeOf({}, nowMs - 100), place, nowMs)) continue
      rule.keptRemoved(place, nowMs)
      kept += 1
    }
    t.ok(kept >= 60 && kept <= 130, `${kept} of 3600`)
    const nowMs = startMs + 3_599_500
    t.notOk(rule.keepsRemoved(nodeOf({}, nowMs), place, nowMs))
    t.ok(rule.keepsRemoved(nodeOf({}, nowMs - 60_000), place, nowMs), 'one of before is')
    t.ok(rule.keepsRemoved(nodeOf({}, nowMs), { ...place, parent: 3 }, nowMs), 'and another name')
  },
)
