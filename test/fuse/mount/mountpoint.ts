import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { absoluteMountpoint, prepareMountpoint } from '../../../src/fuse/mount/mountpoint.js'

t.test('the path of a mountpoint is the one behind all links', async (t) => {
  const home = t.testdir({ real: { below: {} } })
  symlinkSync('real', join(home, 'relative'))
  symlinkSync(join(home, 'relative'), join(home, 'absolute'))
  symlinkSync('../relative/below', join(home, 'real', 'back'))
  symlinkSync('nowhere', join(home, 'dangling'))
  symlinkSync('ring', join(home, 'ring'))
  const below = join(home, 'real', 'below')
  t.equal(await absoluteMountpoint(join(home, 'absolute')), join(home, 'real'))
  t.equal(await absoluteMountpoint(join(home, 'absolute', 'below')), below)
  t.equal(await absoluteMountpoint(join(home, 'absolute', 'back')), below)
  t.equal(await absoluteMountpoint(join(home, 'dangling')), join(home, 'nowhere'))
  t.equal(await absoluteMountpoint(join(home, 'ring')), join(home, 'ring'))
  t.equal(await absoluteMountpoint('/'), '/')
})

t.test('a folder with something in it is mounted upon only if that is wanted', async (t) => {
  const home = t.testdir({ empty: {} })
  const full = join(home, 'full')
  mkdirSync(full)
  writeFileSync(join(full, 'x'), '')
  await prepareMountpoint(join(home, 'empty'), false)
  await prepareMountpoint(full, true)
  await t.rejects(prepareMountpoint(full, false), { message: /not empty/ })
  await t.rejects(prepareMountpoint(join(full, 'x'), true), { message: /not a folder/ })
  await t.rejects(prepareMountpoint(join(home, 'none'), true), { message: /does not exist/ })
})
