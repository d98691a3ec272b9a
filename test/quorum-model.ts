import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import t from 'tap'

const model = resolve(import.meta.dirname, 'model/main.js')

interface Verdict {
  readonly seeds: number
  readonly bad: number
}

function run(...args: readonly string[]): Verdict {
  const said = execFileSync(process.execPath, [model, ...args], { encoding: 'utf8' })
  return JSON.parse(said.split('\n')[0] ?? '') as Verdict
}

/** Sweeps at every moment, of everything there is, and many that want the same key. */
const hastySweeps = 'age=-40 keys=1 clients=5 gap=10 repGap=30 faultGap=600 rep=4'.split(' ')

/** And clients that hear nothing of their first round. */
const unheardVotes =
  'age=40 keys=1 clients=2 gap=5 repGap=10 faultGap=2000 loss=0 deaf=0.97 rep=5'.split(' ')

t.test('the model of the replication rules shows no violation', async (t) => {
  t.match(run('7000', '80'), { seeds: 80, bad: 0 })
  t.match(run('8000', '80', 'dir=1', 'empty=1'), { seeds: 80, bad: 0 })
  t.match(run('9000', '80', 'rot=2'), { seeds: 80, bad: 0 })
  t.match(run('0', '80', 'clocks=1'), { seeds: 80, bad: 0 })
  t.match(run('0', '80', 'clocks=1', 'rot=2'), { seeds: 80, bad: 0 })
  t.match(run('0', '25', ...hastySweeps), { seeds: 25, bad: 0 })
  t.match(run('775', '25', ...unheardVotes), { seeds: 25, bad: 0 })
  t.match(run('0', '80', 'lies=1'), { seeds: 80, bad: 0 })
  t.match(run('0', '80', 'lies=1', 'dir=1', 'empty=1'), { seeds: 80, bad: 0 })
  t.match(run('0', '80', 'lies=2'), { seeds: 80, bad: 0 })
})

/** One violation is enough: the schedules after it are not run. */
function finds(...args: readonly string[]): boolean {
  return run(...args, 'bad=1').bad === 1
}

t.test('the model finds a violation when a rule is switched off', async (t) => {
  for (const [rule, ...args] of [
    ['-ballot'],
    ['-installfirst'],
    ['-empty', 'dir=1', 'empty=1'],
  ] as const) {
    t.ok(finds('0', '150', rule, ...args), rule)
  }
  for (const rule of ['-ahead', '-servertime', '-bounded', '-close', '-outvote', '-alone']) {
    t.ok(finds('0', '30', rule, 'clocks=1'), rule)
  }
  for (const rule of ['-lieread', '-lieinstall', '-liefill', '-liedecide', '-lieepoch']) {
    t.ok(finds('0', '30', rule, 'lies=1'), rule)
  }
  t.ok(finds('60', '10', '-liebody', 'lies=2'), 'liebody')
  t.ok(finds('0', '150', '-rotquorum', 'rot=2'), 'rotquorum')
  t.ok(finds('300', '10', '-block'), 'block')
  t.ok(finds('200', '10', '-few', ...hastySweeps), 'few')
  // What one server alone has forgotten is asked of the others, who mostly know.
  t.ok(finds('1210', '10', '-heard', '-liedecide', ...unheardVotes), 'heard')
})
