import t from 'tap'
import { systemClock } from '../../src/clock.js'
import { OtherNames } from '../../src/fuse/other-names.js'
import { limits } from '../../src/limits.js'

interface Setting {
  readonly names: OtherNames
  readonly forgotten: string[]
  readonly pass: (ms: number) => void
}

function setting(): Setting {
  let nowMs = 1_000_000
  const forgotten: string[] = []
  const clock = { ...systemClock, monotonic: () => nowMs }
  const names = new OtherNames(clock, async (path, what) => {
    forgotten.push(`${path} ${what}`)
  })
  return {
    names,
    forgotten,
    pass: (ms) => {
      nowMs += ms
    },
  }
}

t.test('a change under one name makes the kernel forget the others, once', async (t) => {
  const { names, forgotten } = setting()
  for (const path of ['/a', '/d/b', '/c']) names.note(path, 7)
  names.note('/other', 8)
  await names.changed(7, '/a')
  t.same(forgotten, ['/d/b attributes', '/c attributes'])
  await names.changed(7, '/a')
  t.equal(forgotten.length, 2)
  names.note('/c', 7)
  await names.changed(7, '/a')
  t.equal(forgotten.length, 3, 'again when the kernel was told again')
})

t.test('what the kernel has forgotten by itself needs no telling', async (t) => {
  const { names, forgotten, pass } = setting()
  names.note('/a', 7)
  names.note('/b', 7)
  pass(limits.kernelCacheMs + 200)
  await names.changed(7, '/a')
  t.same(forgotten, [])
})

t.test('names move with the folder above them', async (t) => {
  const { names, forgotten } = setting()
  names.note('/d/a', 7)
  names.note('/da', 7)
  names.moved('/d', '/e/f')
  await names.changed(7, '/x')
  t.same(forgotten.toSorted(), ['/da attributes', '/e/f/a attributes'])
})

t.test('new content also drives out the pages under other names', async (t) => {
  const { names, forgotten } = setting()
  names.note('/b', 7)
  await names.changed(7, '/a', [
    { path: '/a', direct: false },
    { path: '/b', direct: false },
    { path: '/c', direct: true },
  ])
  t.same(forgotten, ['/b all'])
})
