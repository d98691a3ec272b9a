import t from 'tap'
import { PathTable } from '../../../src/fuse/classic/path-table.js'

const [folder, file] = [0o040000, 0o100000]

t.test('a renamed folder takes along what is in it', async (t) => {
  const paths = new PathTable()
  const a = paths.look(1, 'a', folder)
  const b = paths.look(a.ino, 'b', folder)
  const c = paths.look(b.ino, 'c', file)
  t.equal(paths.pathOf(c), '/a/b/c')
  paths.move(a.ino, 'b', 1, 'x')
  t.equal(paths.pathOf(c), '/x/c')
  t.equal(paths.below(b.ino, 'd'), '/x/d')
  t.equal(paths.find(a.ino, 'b'), undefined)
  t.equal(paths.look(b.ino, 'c', file), c, 'by its number as before')
})

t.test('what was removed has no path, and is another file when it comes again', async (t) => {
  const paths = new PathTable()
  const a = paths.look(1, 'a', file)
  paths.opened(a, 1)
  paths.remove(1, 'a')
  t.throws(() => paths.pathOf(a), { code: 'ENOENT' })
  t.equal(paths.lastPathOf(a), '/a')
  const again = paths.look(1, 'a', file)
  t.not(again.ino, a.ino)
  paths.forget(a.ino, 1)
  t.equal(paths.get(a.ino), a, 'it is still open')
  paths.opened(a, -1)
  t.throws(() => paths.get(a.ino), { code: 'ESTALE' })
  t.not(paths.look(1, 'a', folder).ino, again.ino, 'and so is what has another type')
})

t.test(
  'what the kernel has forgotten is forgotten here, folders after what is in them',
  async (t) => {
    const paths = new PathTable()
    const a = paths.look(1, 'a', folder)
    const b = paths.look(a.ino, 'b', file)
    paths.look(a.ino, 'b', file)
    paths.forget(a.ino, 1)
    t.equal(paths.pathOf(b), '/a/b')
    paths.forget(b.ino, 1)
    t.equal(paths.get(b.ino), b, 'it was looked up twice')
    paths.forget(b.ino, 1)
    t.throws(() => paths.get(b.ino), { code: 'ESTALE' })
    t.throws(() => paths.get(a.ino), { code: 'ESTALE' })
    t.equal(paths.pathOf(paths.get(1)), '/')
  },
)
