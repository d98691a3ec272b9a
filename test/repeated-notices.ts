import t from 'tap'
import { limits } from '../src/limits.js'
import { redirectNotices } from '../src/log.js'
import { RepeatedNotices } from '../src/repeated-notices.js'

t.test('prints a few of each kind and object, and counts the others', async (t) => {
  const lines: string[] = []
  redirectNotices((line) => void lines.push(line.replace(/^\S+ /, '')))
  let nowMs = 0
  const notices = new RepeatedNotices({ monotonic: () => nowMs })
  for (let count = 0; count < 3 * limits.repeatedNoticesMax; count += 1) {
    notices.tell('requests that failed', 'alice', `alice ${count}`)
  }
  t.equal(lines.length, limits.repeatedNoticesMax)
  notices.tell('requests that failed', 'bob', 'bob')
  notices.tell('connections that were refused', '', 'refused')
  t.same(lines.slice(-2), ['bob', 'refused'], 'each has its own')
  nowMs += limits.repeatedNoticesMs
  notices.tell('requests that failed', 'alice', 'again')
  t.same(lines.slice(-2), [
    `alice: ${2 * limits.repeatedNoticesMax} more: requests that failed`,
    'again',
  ])
})

t.test('remembers a bounded number of objects', async (t) => {
  redirectNotices(() => {})
  const notices = new RepeatedNotices({ monotonic: () => 0 })
  for (let count = 0; count < 3 * limits.repeatedObjectsMax; count += 1) {
    notices.tell('kind', `${count}`, 'line')
  }
  let printed = 0
  redirectNotices(() => {
    printed += 1
  })
  for (let count = 0; count <= limits.repeatedNoticesMax; count += 1) {
    notices.tell('kind', `${3 * limits.repeatedObjectsMax - 1}`, 'line')
  }
  t.equal(printed, limits.repeatedNoticesMax - 1, 'the latest ones are known')
})
