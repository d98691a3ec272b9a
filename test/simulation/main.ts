/**
 * npm run simulate -- [--seeds N] [--seed S] [--focus F] [--processes P] [--trace]
 * npm run simulate -- --mutants [--only TEXT] [--processes P]
 *
 * Runs N seeds from S on, over several processes. A seed that fails is run once more and its whole
 * history is printed.
 */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { runMutants } from './mutants.js'
import { focuses, runSeed } from './world.js'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string' },
    processes: { type: 'string', default: `${availableParallelism()}` },
    mutants: { type: 'boolean', default: false },
    only: { type: 'string' },
    trace: { type: 'boolean', default: false },
    /** Ends with the first seed that fails, and prints no history. */
    brief: { type: 'boolean', default: false },
    step: { type: 'string', default: '1' },
    /** Instead of the one that each seed draws. */
    focus: { type: 'string' },
  },
})

const first = Number(values.seed ?? Math.floor(Date.now() / 1000) % 1_000_000_000)
const count = Number(values.seeds)
const focus = focuses.find((one) => one === values.focus)
if (values.focus !== undefined && focus === undefined) {
  throw new Error(`--focus: expected one of ${focuses.join(', ')}, got ${values.focus}`)
}
const processes = Math.min(Number(values.processes), Math.max(1, Math.floor(count / 20)))

if (values.mutants)
  process.exitCode = (await runMutants(values.only, Number(values.processes))) ? 0 : 1
else if (processes > 1) process.exitCode = await runProcesses()
else process.exitCode = await runSeeds()

/** Runs every `step`th seed in this process. */
async function runSeeds(): Promise<number> {
  // Refusals are thrown by the thousand, and nobody reads where.
  Error.stackTraceLimit = values.trace ? 20 : 0
  const startedMs = performance.now()
  const step = Number(values.step)
  const totals: Record<string, number> = {}
  let failures = 0
  let seeds = 0
  for (let seed = first; seed < first + count; seed += step) {
    const outcome = await runSeed(seed, values.trace, focus)
    seeds += 1
    for (const [what, number] of Object.entries(outcome.counts)) {
      totals[what] = (totals[what] ?? 0) + number
    }
    if (values.trace) process.stdout.write(`${outcome.lines.join('\n')}\n`)
    if (outcome.violations.length === 0) continue
    failures += 1
    if (!values.trace && !values.brief) {
      Error.stackTraceLimit = 20
      const again = await runSeed(seed, true, focus)
      Error.stackTraceLimit = 0
      process.stdout.write(`${again.lines.join('\n')}\n`)
      if (again.hash !== outcome.hash) process.stdout.write('!!! the second run was another one\n')
    }
    process.stdout.write(`seed ${seed} ${JSON.stringify(outcome.plan)}\n`)
    for (const violation of outcome.violations) process.stdout.write(`  ${violation}\n`)
    if (values.brief) break
  }
  const seconds = (performance.now() - startedMs) / 1000
  const perMinute = Math.round((seeds / seconds) * 60)
  process.stdout.write(
    `${seeds} seeds from ${first}: ${failures} failed; ${perMinute} a minute; ${JSON.stringify(totals)}\n`,
  )
  return failures === 0 ? 0 : 1
}

async function runProcesses(): Promise<number> {
  const codes = await Promise.all(
    Array.from({ length: processes }, (_, index) => {
      const args = [
        `--seed=${first + index}`,
        `--seeds=${count - index}`,
        `--step=${processes}`,
        '--processes=1',
        ...(values.brief ? ['--brief'] : []),
        ...(values.trace ? ['--trace'] : []),
        ...(focus === undefined ? [] : [`--focus=${focus}`]),
      ]
      // Most of what a run makes is garbage soon: less often looked for, it costs a tenth less.
      const execArgv = ['--max-semi-space-size=32']
      const child = fork(import.meta.filename, args, { execArgv })
      return new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? 1)))
    }),
  )
  return Math.max(...codes)
}
