import t from 'tap'
import {
  assertMayBeFile,
  baseName,
  planTargets,
  splitOperands,
} from '../../../src/cli/transfer/targets.js'

t.test('takes the last of several operands for the target', async (t) => {
  t.same(splitOperands(['a']), { sources: ['a'], target: undefined })
  t.same(splitOperands(['a', 'b']), { sources: ['a'], target: 'b' })
  t.same(splitOperands(['a', 'b', 'c']), { sources: ['a', 'b'], target: 'c' })
})

t.test('puts sources into a folder under their base names', async (t) => {
  t.same(planTargets(['x/a', 'b/'], 'folder', 'folder'), [
    { source: 'x/a', target: 'folder/a', isSpelledOut: false },
    { source: 'b/', target: 'folder/b', isSpelledOut: false },
  ])
  t.same(planTargets(['a'], '/', 'folder'), [{ source: 'a', target: '/a', isSpelledOut: false }])
  t.same(planTargets(['a'], 'folder/', 'folder'), [
    { source: 'a', target: 'folder/a', isSpelledOut: false },
  ])
})

t.test('makes a single source the target when that is no folder', async (t) => {
  t.same(planTargets(['a'], 'b', 'absent'), [{ source: 'a', target: 'b', isSpelledOut: true }])
  t.same(planTargets(['a'], 'b', 'other'), [{ source: 'a', target: 'b', isSpelledOut: true }])
})

t.test('takes a source without a name of its own for its content', async (t) => {
  for (const source of ['.', '..', '/', './', 'a/..']) {
    t.same(planTargets([source], 'folder', 'folder'), [
      { source, target: 'folder', isSpelledOut: true },
    ])
  }
})

t.test('refuses several sources and no folder to hold them', async (t) => {
  for (const kind of ['absent', 'other'] as const) {
    t.throws(() => planTargets(['a', 'b'], 'c', kind), {
      code: 'notDirectory',
      message: 'c: Not a directory',
    })
  }
  t.throws(() => planTargets(['a'], 'file/', 'other'), { code: 'notDirectory' })
})

t.test('refuses two sources that would become the same file', async (t) => {
  t.throws(() => planTargets(['x/a', 'y/a'], 'folder', 'folder'), {
    code: 'exists',
    message: 'folder/a: y/a would overwrite x/a',
  })
})

t.test('finds the last name of a path', async (t) => {
  t.equal(baseName('a/b/c'), 'c')
  t.equal(baseName('a/b//'), 'b')
  t.equal(baseName('/'), '')
  t.equal(baseName(''), '')
})

t.test('a slash at the end asks for a folder', async (t) => {
  t.throws(() => assertMayBeFile('new/', false), { code: 'notDirectory' })
  t.doesNotThrow(() => assertMayBeFile('new/', true))
  t.doesNotThrow(() => assertMayBeFile('new', false))
})
