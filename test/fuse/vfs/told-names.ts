import t from 'tap'
import { ToldNames } from '../../../src/fuse/vfs/told-names.js'
import { limits } from '../../../src/limits.js'
import { rootIno } from '../../../src/wire/records.js'
import { StandingClock } from '../../fixtures/standing-clock.js'

t.test('the name of a file for messages is the one sent to the kernel last', async (t) => {
  const names = new ToldNames(new StandingClock())
  names.tell(5, 1, 'f')
  names.tell(5, 1, 'g')
  names.tell(5, 1, 'f')
  t.match(names.lastOf(5), { parent: 1, name: 'f' })
  names.forget(5, 1, 'f')
  t.match(names.lastOf(5), { parent: 1, name: 'g' })
  names.forget(5, 1, 'g')
  t.equal(names.lastOf(5), undefined)
  t.same(names.routesTo(5), [])
})

t.test('every name that is believed is a way to the file, with the folders above', async (t) => {
  const names = new ToldNames(new StandingClock())
  names.tell(2, rootIno, 'd')
  names.tell(5, 2, 'f')
  names.tell(5, 7, 'g')
  t.same(names.routesTo(5), [
    {
      from: rootIno,
      steps: [
        { name: 'd', ino: 2 },
        { name: 'f', ino: 5 },
      ],
    },
    { from: 7, steps: [{ name: 'g', ino: 5 }] },
  ])
  t.same(names.routesTo(rootIno), [])
})

t.test('a name is believed for a while', async (t) => {
  const clock = new StandingClock()
  const names = new ToldNames(clock)
  names.tell(2, rootIno, 'd')
  clock.pass(limits.nameBelievedMs - 1)
  names.tell(5, 2, 'f')
  clock.pass(2)
  t.same(names.routesTo(5), [{ from: 2, steps: [{ name: 'f', ino: 5 }] }], 'd is looked for anew')
  clock.pass(limits.nameBelievedMs)
  t.same(names.routesTo(5), [])
  t.match(names.lastOf(5), { name: 'f' })
})

t.test('the ways to a file are unknown while some of its names were dropped', async (t) => {
  const clock = new StandingClock()
  const names = new ToldNames(clock, 3)
  for (let index = 0; index <= limits.namesToldMax; index += 1) names.tell(5, 1, `${index}`)
  t.equal(names.routesTo(5), undefined, 'too many of one')
  names.tell(6, 1, 'a')
  names.tell(7, 1, 'b')
  t.equal(names.routesTo(9)?.length, 0)
  names.tell(8, 1, 'c')
  t.equal(names.routesTo(9), undefined, 'too many of all')
  names.tell(5, 1, 'again')
  t.equal(names.routesTo(5), undefined, 'it may have had others')
  clock.pass(limits.nameBelievedMs + 1)
  t.same(names.routesTo(5), [])
  t.same(names.routesTo(9), [])
})

t.test('a name for long is believed until all were doubted, and a walk longer', async (t) => {
  const clock = new StandingClock()
  const names = new ToldNames(clock)
  names.tell(5, rootIno, 'f', 30_000)
  clock.pass(20_000)
  t.equal(names.routesTo(5)?.length, 1)
  names.doubtAll()
  clock.pass(limits.nameBelievedMs - 1)
  t.equal(names.routesTo(5)?.length, 1, 'a program may have used it just before')
  clock.pass(2)
  t.same(names.routesTo(5), [])
  names.tell(6, rootIno, 'g', 30_000)
  clock.pass(30_000 + limits.nameBelievedMs - 1)
  t.equal(names.routesTo(6)?.length, 1)
  names.doubtAll()
  clock.pass(2)
  t.same(names.routesTo(6), [], 'the kernel asked again before')
})

t.test('names for long that were dropped may be there until all were doubted', async (t) => {
  const clock = new StandingClock()
  const names = new ToldNames(clock, 1)
  names.tell(5, rootIno, 'f', 30_000)
  names.tell(6, rootIno, 'g', 30_000)
  clock.pass(20_000)
  t.equal(names.routesTo(5), undefined)
  names.doubtAll()
  clock.pass(limits.nameBelievedMs - 1)
  t.equal(names.routesTo(5), undefined)
  clock.pass(2)
  t.same(names.routesTo(5), [])
})

t.test('names of different times that lead round in a circle are no ways', async (t) => {
  const names = new ToldNames(new StandingClock())
  names.tell(2, 3, 'a')
  names.tell(3, 2, 'b')
  names.tell(5, 3, 'f')
  t.equal(names.routesTo(5), undefined)
})
