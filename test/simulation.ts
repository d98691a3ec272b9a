/**
 * The simulation as part of the tests: that a seed says all there is to a run, the seeds that once
 * showed a bug, and some that nobody has tried before. `npm run simulate` runs as many as wanted.
 */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { outdatedMutants } from './simulation/mutants.js'
import { type Focus, type Outcome, runSeed } from './simulation/world.js'

interface Kept {
  readonly seed: number
  /** In the place of the one that the seed draws. */
  readonly focus?: Focus
  /** What it showed when it was found. */
  readonly showed: string
}

const freshCount = 60
/** On a busy machine some of the fresh seeds have to wait for another day. */
const freshMsMax = 20_000

const source = resolve(import.meta.dirname, '../../test/simulation')
const kept = JSON.parse(readFileSync(join(source, 'seeds.json'), 'utf8')) as readonly Kept[]

t.test('a seed run twice, once with its history, is the same run', async (t) => {
  const hashes = new Set<string>()
  for (const seed of [7, 38]) {
    const first = await runSeed(seed)
    const second = await runSeed(seed, true)
    t.equal(second.hash, first.hash, `seed ${seed}`)
    t.same(second.counts, first.counts)
    hashes.add(first.hash)
  }
  t.equal(hashes.size, 2, 'and another seed is another run')
})

t.test('no seed that once showed a bug shows it again', async (t) => {
  for (const { seed, focus, showed } of kept) {
    const outcome = await runSeed(seed, false, focus)
    if (focus !== undefined) t.equal(outcome.plan.focus, focus)
    assertClean(t, outcome, showed, focus)
  }
})

t.test('seeds of today show no bug', async (t) => {
  const first = Math.floor(Date.now() / 86_400_000) * 1000
  t.comment(`npm run simulate -- --seed ${first} --seeds ${freshCount}`)
  const startedMs = performance.now()
  for (let seed = first; seed < first + freshCount; seed += 1) {
    if (performance.now() - startedMs > freshMsMax) {
      t.comment(`enough after ${seed - first} seeds`)
      break
    }
    assertClean(t, await runSeed(seed), '')
  }
})

t.test('every deliberate bug can still be put into the program', async (t) => {
  t.same(outdatedMutants(), [])
})

function assertClean(t: Test, { seed, violations }: Outcome, showed: string, focus?: Focus): void {
  const how = `npm run simulate -- --seed ${seed} --seeds 1${focus ? ` --focus ${focus}` : ''}`
  t.same(violations, [], `seed ${seed} ${showed} (${how})`)
}
