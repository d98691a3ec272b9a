/**
 * Random and mutated frames against a real server, as part of the tests: some of today, and the same
 * stream twice from one seed. `npm run fuzz` sends as many as wanted.
 */
import { tmpdir } from 'node:os'
import t from 'tap'
import { Seeded } from './fixtures/seeded.js'
import { makeConversation } from './fuzz/conversation.js'
import { makeCorpus } from './fuzz/corpus.js'
import { runFuzz } from './fuzz/run.js'

const frames = 300_000
/** On a busy machine some of them have to wait for another day. */
const msMax = 20_000

t.setTimeout(120_000)

t.test('one seed says what is sent', async (t) => {
  const bytesOf = (seed: number): Buffer => {
    const corpus = makeCorpus(new Seeded(seed), 7)
    return Buffer.concat([1, 2, 3].map((n) => makeConversation(new Seeded(n), corpus).bytes))
  }
  t.ok(bytesOf(1).equals(bytesOf(1)))
  t.notOk(bytesOf(1).equals(bytesOf(2)))
})

t.test('no frame of today takes the server down, makes it large, or delays others', async (t) => {
  const seed = Math.floor(Date.now() / 86_400_000)
  const say = (line: string): void => void t.comment(line)
  const outcome = await runFuzz({ seed, frames, msMax, firstBatch: 0, folder: tmpdir(), say })
  t.same(outcome.violations, [], `npm run fuzz -- --seed ${seed} --frames ${outcome.judged}`)
  t.ok(outcome.judged > 10_000, `${outcome.judged} frames in ${Math.round(outcome.seconds)} s`)
})
