/**
 * `npm run bench [-- --against DIR | --build DIR] [--only NAME,...] [--quick] [--growth] [--huge] [--json FILE]`
 *
 * Does ordinary work in a mounted folder and prints how long it took. It starts four servers and a mount of its own, on
 * free ports and in a temporary folder, and removes all of it at the end, after a failure and on Ctrl-C. With
 * `--against DIR` the same work is done in that folder too, a local one or the mount of another file system, in turn
 * with ours at every step: machines are noisy, so compare ratios within one run, not absolute numbers. Values are
 * medians; ±n% is half of the range from the least to the greatest value. A ratio below 1 means that ours is better,
 * whatever the unit. With `--build DIR` the other side is a mount and four servers of another checkout of this
 * project, which shows the effect of a change.
 *
 * The work is done by child processes: ordinary programs (cp, cat, ls, find, git, rsync, tar), or
 * worker.ts where a thing is done many times and the start of a program would be most of it. "Cold"
 * means that nothing is in the caches; the way to empty them is printed above the table. Run as root for
 * a comparison that is cold on both sides. A row whose program is not installed says so.
 *
 * `--only secure` compares our mount over TLS with one without TLS, `--only trash` one that keeps what is removed with one that
 * does not.
 *
 * No work begins later than half an hour after the start, with `--quick` four minutes: on a slow machine works have
 * fewer rounds, but always an even number, and the last ones are left out, which is printed. `--only` names works as
 * works/table.ts does. `--growth` and `--huge` add works that show how costs grow. `--folder DIR` puts
 * our servers' data elsewhere than beside DIR. `--profile DIR` writes CPU profiles of the mount and
 * the servers, one for each time that they were started, to be opened in a browser's developer tools.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { cleanUp, undoLater } from './clean-up.js'
import { thisCheckout } from './cluster.js'
import { folderBeside } from './disk.js'
import { openForeignFolder } from './foreign-folder.js'
import { measure, type Row } from './measure.js'
import { chosenWorks, type Options, parseOptions } from './options.js'
import { openOurMount } from './our-mount.js'
import type { Place } from './place.js'
import { run } from './programs.js'
import { header, linesOf, numbersOf } from './report.js'
import { quick, usual } from './scale.js'
import { makeSources } from './sources.js'
import { works } from './works/table.js'

const removalDeadlineMs = 120_000

const options = parseOptions(process.argv.slice(2))
let status = 0
try {
  const rows = await benchmark(options)
  if (rows.some(({ columns }) => columns.some(({ failure }) => failure !== undefined))) status = 1
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.stack : String(error)}\n`)
  status = 1
}
await cleanUp()
process.exit(status)

async function benchmark({
  against,
  build,
  folder,
  profile,
  json,
  variant,
  ...chosen
}: Options): Promise<Row[]> {
  const home = await temporaryFolder(folder ?? (await folderBeside(against)))
  const scale = chosen.quick ? quick : usual
  if (profile !== undefined) mkdirSync(profile, { recursive: true })
  const sources = await makeSources(home, scale)
  const ours = await openOurMount({
    home: join(home, 'ours'),
    profiles: profile,
    checkout: thisCheckout,
    ...variant?.cluster,
  })
  const theirs: Place[] = []
  if (against !== undefined) theirs.push(await openForeignFolder(against))
  else if (build !== undefined || variant !== undefined) {
    const checkout = build ?? thisCheckout
    const options = { home: join(home, 'theirs'), profiles: undefined, checkout }
    theirs.push(await openOurMount(options))
  }
  const places: readonly Place[] = [ours, ...theirs]

  print(
    `${availableParallelism()} x ${cpus()[0]?.model ?? '?'}, Linux ${release()}, Node ${process.version}`,
  )
  print(`${Math.round(totalmem() / 2 ** 30)} GiB of memory; our servers' data is in ${home}`)
  print(`cold, ours: ${ours.coldness}`)
  for (const { folder, coldness } of theirs) print(`cold, theirs (${folder}): ${coldness}`)
  print(`\n${header(theirs.length > 0)}`)

  const rows: Row[] = []
  for (const name of chosenWorks(chosen)) {
    const work = works[name]?.make(scale)
    if (work === undefined) continue
    const isAsked = chosen.only !== undefined || works[name]?.extra !== undefined
    if (!isAsked && performance.now() > scale.secondsMax * 1000) {
      print(`${name}: left out, the machine is too slow today (--only ${name})`)
      continue
    }
    const measured = await measure(work, { places, sources, scale })
    for (const row of measured) for (const line of linesOf(row)) print(line)
    rows.push(...measured)
    if (json !== undefined) writeFileSync(json, JSON.stringify(rows.map(numbersOf), undefined, 2))
  }
  return rows
}

async function temporaryFolder(parent: string): Promise<string> {
  const home = await mkdtemp(join(parent, 'dfs-bench-home-'))
  undoLater(async () => {
    await run('rm', ['-rf', '--one-file-system', home], { deadlineMs: removalDeadlineMs })
  })
  return home
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
