import { lstatSync } from 'node:fs'
import t from 'tap'
import {
  nanosecondsOf,
  setModificationTime,
  timeOfNanoseconds,
} from '../../../src/cli/local/local-times.js'

const times = [
  0n,
  1n,
  1_000_000_001n,
  1_700_000_000_123_456_789n,
  1_700_000_000_999_999_999n,
  -1n,
  -5_250_000_000n,
  -5_250_000_001n,
]

t.test('splits nanoseconds into seconds and a fraction that is never negative', async (t) => {
  t.same(timeOfNanoseconds(-1n), { seconds: -1, nanoseconds: 999_999_999 })
  t.same(timeOfNanoseconds(1_500_000_000n), { seconds: 1, nanoseconds: 500_000_000 })
  for (const time of times) t.equal(nanosecondsOf(timeOfNanoseconds(time)), time)
})

t.test('sets times to the nanosecond, of links themselves too', async (t) => {
  const folder = t.testdir({
    "it's a \\ \n file": '',
    file: '',
    link: t.fixture('symlink', 'nowhere'),
    folder: {},
  })
  const names = ["it's a \\ \n file", 'file', 'link', 'folder']
  for (const time of times) {
    for (const name of names)
      await setModificationTime(`${folder}/${name}`, timeOfNanoseconds(time))
    for (const name of names) {
      t.equal(lstatSync(`${folder}/${name}`, { bigint: true }).mtimeNs, time, `${time} ${name}`)
    }
  }
})

t.test('leaves the access time as it is', async (t) => {
  const file = `${t.testdir({ file: '' })}/file`
  const { atimeNs } = lstatSync(file, { bigint: true })
  await setModificationTime(file, { seconds: 5, nanoseconds: 7 })
  t.equal(lstatSync(file, { bigint: true }).atimeNs, atimeNs)
})

t.test('fails for a missing path', async (t) => {
  await t.rejects(setModificationTime(`${t.testdir({})}/none`, { seconds: 5, nanoseconds: 7 }), {
    code: 'ENOENT',
  })
})
