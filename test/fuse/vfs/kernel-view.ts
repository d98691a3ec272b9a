import t from 'tap'
import type { Content } from '../../../src/dfc/content/content.js'
import { isPrefix, sameContent } from '../../../src/dfc/content/content-equality.js'
import { build, wholeSlice } from '../../../src/dfc/content/extents.js'
import { KernelView } from '../../../src/fuse/vfs/kernel-view.js'
import { limits } from '../../../src/limits.js'
import { StandingClock } from '../../fixtures/standing-clock.js'

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

t.test('at an open the kernel asks anew for attributes that are of another content', async (t) => {
  const kernel = new KernelView(new StandingClock())
  const taken: number[] = []
  kernel.connect({ invalidateAttributes: (ino) => taken.push(ino) })
  kernel.correct(5, '1', contentOf('1'))
  t.same(taken, [], 'it was told nothing')
  kernel.tell(5, '1', contentOf('1'), false)
  kernel.correct(5, '1', contentOf('1'))
  t.same(taken, [], 'it was told this')
  kernel.correct(5, '1', contentOf('2'))
  t.same(taken, [5], 'it was told something else')
  kernel.correct(5, '1', contentOf('3'))
  t.same(taken, [5], 'and knows nothing since')
})

t.test('after a second the kernel asks by itself', async (t) => {
  const clock = new StandingClock()
  const kernel = new KernelView(clock)
  const taken: number[] = []
  kernel.connect({ invalidateAttributes: (ino) => taken.push(ino) })
  kernel.tell(5, '1', contentOf('1'), false)
  clock.pass(2000)
  kernel.correct(5, '1', contentOf('2'))
  t.same(taken, [])
})

t.test('pages belong to a file and a content', async (t) => {
  const kernel = new KernelView(new StandingClock())
  t.notOk(kernel.hasPagesOf(5, contentOf('1')))
  kernel.setPages(5, contentOf('1'))
  t.ok(kernel.hasPagesOf(5, contentOf('1')))
  t.notOk(kernel.hasPagesOf(5, contentOf('2')))
  t.notOk(kernel.hasPagesOf(6, contentOf('1')))
})

t.test('the kernel keeps neither pages nor size of a draft that was given up', async (t) => {
  const kernel = new KernelView(new StandingClock())
  const taken: number[] = []
  kernel.connect({ invalidateAttributes: (ino) => taken.push(ino) })
  kernel.setPages(5, contentOf('1'))
  kernel.forgetFile(5)
  t.notOk(kernel.hasPagesOf(5, contentOf('1')))
  t.same(taken, [5])
})

t.test('an open invalidates attributes of a later version that no longer exists', async (t) => {
  const kernel = new KernelView(new StandingClock())
  const taken: number[] = []
  kernel.connect({ invalidateAttributes: (ino) => taken.push(ino) })
  kernel.tell(5, '2', contentOf('1'), false)
  kernel.correct(5, '1', contentOf('1'))
  t.same(taken, [5])
  kernel.tell(5, '1', contentOf('1'), true)
})

t.test('the kernel is never sent an older version of an open file', async (t) => {
  const kernel = new KernelView(new StandingClock())
  kernel.tell(5, '2', undefined, true)
  kernel.tell(5, '2', contentOf('1'), true)
  t.throws(() => kernel.tell(5, '1', contentOf('1'), true), { code: 'ERR_ASSERTION' })
  kernel.forgetFile(5)
  kernel.tell(5, '1', contentOf('1'), true)
})

/** A kernel that knows both notices, and what it was sent. */
function connected(clock: StandingClock): {
  readonly kernel: KernelView
  readonly taken: number[]
  readonly counts: { epochs: number }
} {
  const kernel = new KernelView(clock)
  const taken: number[] = []
  const counts = { epochs: 0 }
  kernel.connect({
    invalidateAttributes: (ino) => taken.push(ino),
    invalidateEntries: () => {
      counts.epochs += 1
    },
  })
  return { kernel, taken, counts }
}

t.test('what is kept for long is asked for again when it is doubted', async (t) => {
  const clock = new StandingClock()
  const { kernel, taken, counts } = connected(clock)
  t.equal(kernel.validMs(false), limits.kernelCacheMs)
  t.equal(kernel.validMs(true), limits.kernelCacheAloneMs)
  kernel.tell(5, '1', undefined, false, kernel.validMs(true))
  kernel.tell(6, '1', undefined, false, kernel.validMs(false))
  clock.pass(limits.kernelCacheMs + 1)
  kernel.doubtAll()
  t.same(taken, [5], 'the other one is asked for anyway')
  t.equal(counts.epochs, 1)
  clock.pass(limits.kernelCacheAloneMs)
  kernel.doubtAll()
  t.same(taken, [5], 'all are old')
})

t.test('an open takes back attributes that were to be kept for long', async (t) => {
  const clock = new StandingClock()
  const { kernel, taken } = connected(clock)
  kernel.tell(5, '1', contentOf('1'), false, limits.kernelCacheAloneMs)
  clock.pass(limits.kernelCacheAloneMs - 1)
  kernel.correct(5, '1', contentOf('2'))
  t.same(taken, [5])
})

t.test('attributes for long that are no longer recorded are taken back', async (t) => {
  const { kernel, taken } = connected(new StandingClock())
  for (let ino = 1; ino <= limits.kernelCacheEntriesMax; ino += 1) {
    kernel.tell(ino, '1', undefined, false, limits.kernelCacheAloneMs)
  }
  t.same(taken, [])
  kernel.tell(limits.kernelCacheEntriesMax + 1, '1', undefined, false, limits.kernelCacheAloneMs)
  t.same(taken, [1])
})

t.test('a kernel that cannot be made to look up names keeps nothing for long', async (t) => {
  const kernel = new KernelView(new StandingClock())
  kernel.connect({ invalidateAttributes: () => {} })
  t.equal(kernel.validMs(true), limits.kernelCacheMs)
  t.match(kernel.listingOf(5, true), { cache: false, keep: false })
})

t.test('a listing is kept until it is doubted, or its attributes are old', async (t) => {
  const clock = new StandingClock()
  const { kernel } = connected(clock)
  const first = kernel.listingOf(5, true)
  t.match(first, { cache: true, keep: false }, 'nothing was sent yet')
  kernel.setListing(5, first)
  t.match(kernel.listingOf(5, true), { cache: true, keep: true })
  t.match(kernel.listingOf(5, false), { cache: false, keep: false }, 'others may change it')
  t.match(kernel.listingOf(5, true), { cache: true, keep: false }, 'and may have')
  kernel.setListing(5, kernel.listingOf(5, true))
  const late = kernel.listingOf(6, true)
  kernel.doubtListings()
  kernel.setListing(6, late)
  t.match(kernel.listingOf(5, true), { cache: true, keep: false })
  t.match(kernel.listingOf(6, true), { cache: true, keep: false }, 'it was opened before the doubt')
  kernel.setListing(5, kernel.listingOf(5, true))
  clock.pass(limits.kernelCacheAloneMs)
  t.match(kernel.listingOf(5, true), { cache: true, keep: false })
})
