/**
 * Deliberate bugs, to show that the simulation finds what it is there to find: each is a change of the
 * compiled program in a folder of its own, which some seed among the first few hundred must fail.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { spawnMortal, temporaryFolder } from '../fixtures/mortal.js'
import { type Edit, type Mutant, mutants } from './mutant-list.js'

interface Finding {
  readonly mutant: Mutant
  /** Absent: no seed failed. */
  readonly seed: number | undefined
  readonly violation: string
}

const dist = resolve(import.meta.dirname, '../..')
const project = resolve(dist, '..')

/** The deliberate bugs that do not fit the program as it is now: nobody would notice that they are gone. */
export function outdatedMutants(): string[] {
  return mutants
    .filter(({ edits }) => !edits.every((edit) => fits(dist, edit)))
    .map(({ name }) => name)
}

/**
 * Runs all of them, or those whose names contain `only`, `lanes` at a time. True when each was found.
 */
export async function runMutants(
  only = '',
  lanes = availableParallelism(),
  seedsMax = 3000,
): Promise<boolean> {
  const wanted = mutants.filter(({ name }) => name.includes(only))
  const open = [...wanted]
  const findings: Finding[] = []
  const lane = async (): Promise<void> => {
    for (let mutant = open.shift(); mutant !== undefined; mutant = open.shift()) {
      const finding = await find(mutant, seedsMax)
      findings.push(finding)
      process.stdout.write(`${describe(finding)}\n`)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  const missed = findings.filter(({ seed }) => seed === undefined)
  process.stdout.write(`${findings.length - missed.length} of ${findings.length} mutants found\n`)
  return missed.length === 0
}

async function find(mutant: Mutant, seedsMax: number): Promise<Finding> {
  const folder = temporaryFolder('dfs-mutant-')
  try {
    copyProgram(folder)
    for (const edit of mutant.edits) apply(folder, edit, mutant.name)
    for (let first = 1; first <= seedsMax; ) {
      const output = await run(folder, mutant, first, seedsMax - first + 1)
      const failed = /^seed (\d+) .*\n {2}(.*)$/m.exec(output)
      if (failed === null && !/ 0 failed/.test(output)) {
        throw new Error(`${mutant.name}: the simulation did not run:\n${output}`)
      }
      if (failed === null) break
      const seed = Number(failed[1])
      // What the program does without the change as well does not count.
      const original = await run(project, mutant, seed, 1)
      if (/ 0 failed/.test(original)) return { mutant, seed, violation: failed[2] ?? '' }
      first = seed + 1
    }
    return { mutant, seed: undefined, violation: '' }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function copyProgram(folder: string): void {
  for (const part of ['src', 'test/simulation', 'test/fixtures']) {
    mkdirSync(join(folder, 'dist', part), { recursive: true })
    cpSync(join(dist, part), join(folder, 'dist', part), { recursive: true })
  }
  cpSync(join(project, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'))
}

/** The text must be there exactly once: a mutant that no longer applies is worth nothing. */
function fits(program: string, { file, from }: Edit): boolean {
  return readFileSync(join(program, 'src', file), 'utf8').split(from).length === 2
}

function apply(folder: string, edit: Edit, name: string): void {
  const { file, from, to } = edit
  const path = join(folder, 'dist/src', file)
  if (!fits(join(folder, 'dist'), edit)) throw new Error(`${name}: not once in ${file}: ${from}`)
  const before = readFileSync(path, 'utf8')
  writeFileSync(
    path,
    before.replace(from, () => to),
  )
}

async function run(
  folder: string,
  { focus }: Mutant,
  first: number,
  count: number,
): Promise<string> {
  const main = join(folder, 'dist/test/simulation/main.js')
  const args = [main, '--brief', `--seed=${first}`, `--seeds=${count}`, '--processes=1']
  if (focus !== undefined) args.push(`--focus=${focus}`)
  const { stdout } = spawnMortal(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  return stdout === null ? '' : await text(stdout)
}

function describe({ mutant, seed, violation }: Finding): string {
  if (seed === undefined) return `MISSED ${mutant.name}`
  return `found  ${mutant.name}: seed ${seed}: ${violation.slice(0, 100)}`
}
