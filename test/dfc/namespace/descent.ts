import t from 'tap'
import { Descent } from '../../../src/dfc/namespace/descent.js'
import { limits } from '../../../src/limits.js'

t.test('a way that comes back to where it was ends', async (t) => {
  const root = new Descent(1)
  const two = root.into(2)
  const three = two.into(3)
  for (const ino of [1, 2, 3]) {
    t.throws(() => three.into(ino), { code: 'loop', message: 'the folder is below itself' })
  }
  t.ok(two.into(4).into(3), 'another way to a folder is none that comes back')
})

t.test('a way that goes on and on ends', async (t) => {
  let way = new Descent(1)
  for (let depth = 1; depth <= limits.folderDepthMax; depth += 1) way = way.into(depth + 1)
  t.throws(() => way.into(1e6), {
    code: 'loop',
    message: 'more than 2048 folders below one another',
  })
})
