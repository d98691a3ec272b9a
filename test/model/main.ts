/**
 * The randomized model of the replication rules: docs/decisions/0001 as a program, run on many schedules.
 *
 *     node dist/test/model/main.js [first seed] [how many] [option=number ...] [-rule ...]
 *
 * The first line of the output is a summary as JSON; then the first violations follow.
 */
import { type OptionName, type Options, optionNames, optionsFrom, optionTable } from './options.js'
import { type RuleName, type Rules, ruleNames, rulesWithout, ruleTable } from './rules.js'
import { runSchedule, type Verdict } from './schedule.js'

const shownMax = 6
const kindLength = 40

interface Arguments {
  readonly firstSeed: number
  readonly seedCount: number
  readonly rules: Rules
  readonly options: Options
}

function main(): void {
  const wanted = parse(process.argv.slice(2))
  if (!wanted) {
    console.error(usage())
    process.exitCode = 2
    return
  }
  const summary = new Summary()
  const { firstSeed, seedCount, rules, options } = wanted
  const { seconds, badMax } = options
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed += 1) {
    const verdict = runSchedule(seed, rules, options)
    summary.add(seed, verdict)
    for (const line of verdict.trace) console.log(line)
    if (seconds && summary.elapsedSeconds > seconds) break
    if (badMax && summary.bad >= badMax) break
  }
  console.log(summary.asText(ruleNames.filter((name) => !rules[name])))
}

/** The arguments; nothing if one of them is none: a misspelt rule would show no violation. */
function parse(texts: readonly string[]): Arguments | undefined {
  const numbers: number[] = []
  const off = new Set<string>()
  const given = new Map<string, number>()
  for (const text of texts) {
    const [argument = '', value] = text.split('=')
    if (/^\d+$/.test(text)) numbers.push(Number(text))
    else if (text === 'written') for (const rule of ruleArguments) off.add(rule)
    else if (text.startsWith('-') && ruleArguments.has(text.slice(1))) off.add(text.slice(1))
    else if (text.startsWith('+') && ruleArguments.has(text.slice(1))) off.delete(text.slice(1))
    else if (optionArguments.has(argument) && value) given.set(argument, Number(value))
    else return undefined
  }
  const [firstSeed = 1, seedCount = 100] = numbers
  return { firstSeed, seedCount, rules: rulesWithout(off), options: optionsFrom(given) }
}

const ruleArguments: ReadonlySet<string> = new Set(
  ruleNames.map((name) => ruleTable[name].argument),
)
const optionArguments: ReadonlySet<string> = new Set(
  optionNames.map((name) => optionTable[name].argument),
)

function usage(): string {
  const option = (name: OptionName) => {
    const { argument, value, text } = optionTable[name]
    return `  ${`${argument}=${value}`.padEnd(16)}${text}`
  }
  const rule = (name: RuleName) => {
    const { argument, text } = ruleTable[name]
    return `  ${`-${argument}`.padEnd(16)}${text}`
  }
  return [
    'usage: main.js [first seed] [how many] [option=number ...] [-rule ...]',
    'options:',
    ...optionNames.map(option),
    'rules, to be turned off (all of them: written; on again: +rule):',
    ...ruleNames.map(rule),
  ].join('\n')
}

/** Sums of many schedules, and the first few violations. */
class Summary {
  readonly #startedMs = performance.now()
  readonly #counts: Record<string, number> = {}
  readonly #kinds: Record<string, number> = {}
  readonly #shown: string[] = []
  #seeds = 0
  #bad = 0

  get elapsedSeconds(): number {
    return (performance.now() - this.#startedMs) / 1000
  }

  /** How many schedules had a violation. */
  get bad(): number {
    return this.#bad
  }

  add(seed: number, { violations, counts, events }: Verdict): void {
    this.#seeds += 1
    for (const [name, count] of Object.entries(counts)) addTo(this.#counts, name, count)
    const [first] = violations
    if (first === undefined) return
    this.#bad += 1
    addTo(this.#kinds, first.replace(/\d+/g, '#').slice(0, kindLength), 1)
    if (this.#shown.length === shownMax) return
    this.#shown.push(`  seed ${seed}, ${events} events: ${violations.slice(0, 2).join(' | ')}`)
  }

  asText(rulesOff: readonly RuleName[]): string {
    const summary = {
      rulesOff,
      seeds: this.#seeds,
      bad: this.#bad,
      seconds: Math.round(this.elapsedSeconds * 1000) / 1000,
      kinds: this.#kinds,
      counts: this.#counts,
    }
    return [JSON.stringify(summary), ...this.#shown].join('\n')
  }
}

function addTo(sums: Record<string, number>, name: string, count: number): void {
  sums[name] = (sums[name] ?? 0) + count
}

main()
