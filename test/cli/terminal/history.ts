import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import t from 'tap'
import { History, historyFile, historyLinesMax } from '../../../src/cli/terminal/history.js'

t.test('the history is in the state folder of the user', async (t) => {
  t.equal(historyFile({ XDG_STATE_HOME: '/state' }), '/state/dfs/history')
  t.equal(historyFile({}), `${homedir()}/.local/state/dfs/history`)
  t.equal(historyFile({ XDG_STATE_HOME: 'relative' }), historyFile({}))
})

t.test('gives the newest line first, in this session and in the next', async (t) => {
  const file = `${t.testdir({})}/deep/history`
  t.same(new History(file).load(), [], 'there is none yet')
  new History(file).append('LIST')
  new History(file).append('PUT "a b"')
  t.same(new History(file).load(), ['PUT "a b"', 'LIST'])
  t.equal(statSync(file).mode & 0o777, 0o600)
})

t.test('keeps a bounded number of lines', async (t) => {
  const file = `${t.testdir({})}/history`
  const lines = Array.from({ length: 2 * historyLinesMax + 1 }, (_, index) => `get ${index}`)
  writeFileSync(file, `${lines.join('\n')}\n`)
  const loaded = new History(file).load()
  t.equal(loaded.length, historyLinesMax)
  t.equal(loaded[0], lines.at(-1))
  t.equal(readFileSync(file, 'utf8').split('\n').length, historyLinesMax + 1)
})

t.test('a history that cannot be written fails nothing', async (t) => {
  const history = new History('/dev/null/history')
  t.doesNotThrow(() => history.append('LIST'))
  t.same(history.load(), [])
})
