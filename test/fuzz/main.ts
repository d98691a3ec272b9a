/**
 * npm run fuzz -- [--frames N] [--seed S] [--batch B] [--minutes M] [--folder DIR]
 *
 * Has a server of its own answer N random and mutated frames, from seed S on. It ends with the first
 * thing that is wrong; `--seed S --batch B --frames 1` repeats the batch in which that was.
 */
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { runFuzz } from './run.js'

const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '1000000' },
    seed: { type: 'string' },
    batch: { type: 'string', default: '0' },
    minutes: { type: 'string', default: '1440' },
    /** A folder in memory makes it faster. */
    folder: { type: 'string', default: tmpdir() },
  },
})

const seed = Number(values.seed ?? Math.floor(Date.now() / 1000) % 1_000_000_000)
const outcome = await runFuzz({
  seed,
  frames: Number(values.frames),
  firstBatch: Number(values.batch),
  folder: values.folder,
  msMax: Number(values.minutes) * 60_000,
  say: (line) => process.stdout.write(`${line}\n`),
})
const { violations, judged, sentBytes, connections, seconds, peakMiB, medianMs, worst } = outcome
for (const violation of violations) process.stdout.write(`!!! ${violation}\n`)
process.stdout.write(
  `seed ${seed}: ${judged} frames (${Math.round(sentBytes / 2 ** 20)} MiB) on ${connections} ` +
    `connections in ${Math.round(seconds)} s, ${Math.round(judged / seconds)} a second; ` +
    `the server took at most ${Math.round(peakMiB)} MiB; the other user waited ` +
    `${medianMs.toFixed(1)} ms, at most ${Math.round(worst.ms)} (${worst.what}); ` +
    `${violations.length === 0 ? 'nothing is wrong' : 'FAILED'}\n`,
)
process.exitCode = violations.length === 0 ? 0 : 1
