import { constants } from 'node:os'
import t from 'tap'
import { errors, OperationError } from '../../../src/fuse/classic/errno.js'
import Fuse from '../../../src/fuse/classic/fuse.js'

t.test('the numbers are those of this system, negative', async (t) => {
  const known = errors as Readonly<Record<string, number>>
  for (const [name, number] of Object.entries(constants.errno)) {
    t.equal(known[name], -number, name)
  }
  t.equal(errors.EMEDIUMTYPE, -124)
  t.equal(errors.EHWPOISON, -133)
})

t.test('they are properties of the class, and found by name', async (t) => {
  t.equal(Fuse.ENOENT, -2)
  t.equal(Fuse.EWOULDBLOCK, Fuse.EAGAIN)
  const fuse = new Fuse('/nowhere', {})
  t.equal(fuse.errno('enotempty'), -39)
  t.equal(fuse.errno('none'), -1)
  t.equal(fuse.errno(), -1)
  t.equal(new OperationError(-2).message, 'ENOENT')
})
