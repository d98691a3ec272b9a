import t from 'tap'
import type { Clock } from '../../src/clock.js'
import { systemClock } from '../../src/clock.js'
import { build, wholeSlice } from '../../src/dfc/extents.js'
import type { Content } from '../../src/dfc/node.js'
import { isPrefix, sameContent } from '../../src/fuse/content-equality.js'
import { KernelView } from '../../src/fuse/kernel-view.js'

/** The system's clock, but its monotonic time stands still until it is told to go on. */
function standingClock(): Clock & { nowMs: number } {
  const clock = { ...systemClock, nowMs: 0, monotonic: () => clock.nowMs }
  return clock
}

function contentOf(...digits: readonly string[]): Content {
  const segments = digits.map((digit) => ({
    id: digit.repeat(32),
    length: 10,
    md5: digit.repeat(32),
  }))
  return build(
    digits.length * 10,
    segments.map((segment, index) => wholeSlice(segment, index * 10)),
  )
}

t.test('contents are the same when their slices are', async (t) => {
  t.ok(sameContent(contentOf('1', '2'), contentOf('1', '2')))
  t.notOk(sameContent(contentOf('1', '2'), contentOf('1', '3')))
  t.ok(isPrefix(contentOf('1'), contentOf('1', '2')), 'appended to')
  t.notOk(isPrefix(contentOf('2'), contentOf('1', '2')), 'replaced')
  t.notOk(isPrefix(contentOf('1', '2'), contentOf('1')), 'cut')
})

t.test('sends a thread back once when the attributes are of another content', async (t) => {
  const kernel = new KernelView(standingClock())
  t.equal(kernel.atOpen('/f', 5, contentOf('1'), 7), 'right', 'it was told nothing')
  kernel.tell('/f', 5, contentOf('1'))
  t.equal(kernel.atOpen('/f', 5, contentOf('1'), 7), 'right', 'it was told this')
  t.equal(kernel.atOpen('/f', 5, contentOf('2'), 7), 'wrong', 'it was told something else')
  kernel.tell('/f', 5, contentOf('2'))
  t.equal(kernel.atOpen('/f', 5, contentOf('3'), 7), 'overtaken', 'not twice in a row')
  t.equal(kernel.atOpen('/f', 5, contentOf('3'), 8), 'wrong', 'another thread')
  t.equal(kernel.atOpen('/f', 6, contentOf('2'), 9), 'wrong', 'another file has the name')
})

t.test('a path that is created is one that the kernel does not know', async (t) => {
  const kernel = new KernelView(standingClock())
  kernel.tell('/f', 5, contentOf('1'))
  kernel.forget('/f')
  t.equal(kernel.atOpen('/f', 6, contentOf('2'), 7), 'right')
})

t.test('after a second the kernel asks by itself', async (t) => {
  const clock = standingClock()
  const kernel = new KernelView(clock)
  kernel.tell('/f', 5, contentOf('1'))
  clock.nowMs = 2000
  t.equal(kernel.atOpen('/f', 5, contentOf('2'), 7), 'right')
})

t.test('pages belong to a path, a file and a content', async (t) => {
  const kernel = new KernelView(standingClock())
  t.notOk(kernel.hasPagesOf('/f', 5, contentOf('1')))
  kernel.setPages('/f', 5, contentOf('1'))
  t.ok(kernel.hasPagesOf('/f', 5, contentOf('1')))
  t.notOk(kernel.hasPagesOf('/f', 5, contentOf('2')))
  t.notOk(kernel.hasPagesOf('/f', 6, contentOf('1')))
  t.notOk(kernel.hasPagesOf('/g', 5, contentOf('1')))
  kernel.move('/f', '/g')
  t.ok(kernel.hasPagesOf('/g', 5, contentOf('1')))
  t.notOk(kernel.hasPagesOf('/f', 5, contentOf('1')))
})
