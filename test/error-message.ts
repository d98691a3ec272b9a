/** Sentences about failures: what the system said in words, and about which file. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import t from 'tap'
import { sentenceOf, sentenceWithPath } from '../src/error-message.js'
import { DfsError } from '../src/errors.js'

function thrownBy(action: () => unknown): unknown {
  try {
    return action()
  } catch (thrown) {
    return thrown
  }
}

t.test(
  'a failed system call is told in words, and about its file where nothing else names it',
  async (t) => {
    const failed = thrownBy(() => readFileSync('/nowhere/file'))
    t.equal(sentenceOf(failed), 'No such file or directory')
    t.equal(sentenceWithPath(failed), '/nowhere/file: No such file or directory')
    const known = new DfsError('configuration', 'a sentence', { cause: failed })
    t.equal(sentenceWithPath(known), 'a sentence')
    t.equal(sentenceWithPath('text'), 'text')
  },
)

t.test('the addresses of a host that all refuse are told as one', async (t) => {
  const refused = await new Promise((resolve) => connect(1, '127.0.0.1').once('error', resolve))
  t.equal(sentenceOf(new AggregateError([refused, refused])), 'Connection refused')
})
