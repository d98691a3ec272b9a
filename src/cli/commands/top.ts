/**
 * TOP: shows what the mounts of this account on this machine do, once a second: rates, latencies, the programs that wait
 * longest, the four servers, and what is not stored yet. It asks the mounts, and no server.
 */
import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientConfig } from '../../config.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { type Figures, mountsOf } from '../mounts.js'
import type { Status } from '../session.js'
import type { Output } from '../terminal/output.js'
import type { Command, Options } from './command.js'
import { type Rates, ratesOf } from './top-rates.js'
import { fitted, viewOf } from './top-view.js'

const controlC = '\u0003'
const home = '\u001b[H'
const clearLine = '\u001b[2K'
const clearBelow = '\u001b[J'
const clearAll = '\u001b[2J'
const [usualColumns, usualRows] = [80, 24]

export const top: Command = {
  name: 'top',
  operands: '[MOUNTPOINT]',
  operandsMin: 0,
  operandsMax: 1,
  summary: 'show live what the mounts of this account on this machine do',
  details: [
    'Shows operations a second, bytes, latencies, the programs that wait longest for the mount, the four servers',
    'as the mount sees them, and what was answered and is not stored yet. q or Control-C ends it.',
  ].join(' '),
  options: [
    ['--once', 'print it once, as when the output is not a terminal'],
    ['--json', 'print a JSON list once, with an object for each mount'],
  ],
  completes: [],

  run: ({ client, output, interrupted }, operands, options) =>
    show(client.cluster.config, output, operands, options, interrupted),
  async runWithoutLogin({ loadConfig, output }, operands, options) {
    const keys = new EndKeys()
    try {
      return await show(loadConfig(), output, operands, options, keys.pressed)
    } finally {
      keys.stop()
    }
  },
}

async function show(
  config: ClientConfig,
  output: Output,
  [given]: readonly string[],
  options: Options,
  interrupted: AbortSignal,
): Promise<Status> {
  const mountpoint = given === undefined ? undefined : placeOf(given)
  const look = async (): Promise<readonly Figures[]> => {
    const all = await mountsOf(config)
    const found = all.filter((one) => mountpoint === undefined || one.mountpoint === mountpoint)
    if (found.length > 0) return found
    throw new DfsError('notFound', nothingFound(config.user, mountpoint, all))
  }
  let before = await look()
  const next = async (): Promise<readonly Rates[]> => {
    await sleep(limits.topEveryMs, undefined, { signal: interrupted })
    const now = await look()
    const rates = now.map((one) =>
      ratesOf(
        one,
        before.find(({ mountpoint: place }) => place === one.mountpoint),
      ),
    )
    before = now
    return rates
  }
  if (options.json) {
    output.print(JSON.stringify(await next(), undefined, 2))
    return 0
  }
  const terminal = process.stdout.isTTY ? process.stdout : undefined
  if (options.once || terminal === undefined) {
    for (const line of linesOf(await next())) output.print(line)
    return 0
  }
  await draw(terminal, next, interrupted)
  return 0
}

/** Draws again and again until it is interrupted, and when the terminal changes its size. */
async function draw(
  terminal: NodeJS.WriteStream & { fd: 1 },
  next: () => Promise<readonly Rates[]>,
  interrupted: AbortSignal,
): Promise<void> {
  let lines: readonly string[] = ['...']
  const paint = (): void => {
    // Some terminals do not know their size, and say 0.
    const shown = fitted(lines, terminal.columns || usualColumns, terminal.rows || usualRows)
    // A line feed behind the last row would move the first one out of sight.
    terminal.write(`${home}${shown.map((line) => `${clearLine}${line}`).join('\n')}${clearBelow}`)
  }
  const resized = (): void => {
    terminal.write(clearAll)
    paint()
  }
  terminal.on('resize', resized)
  terminal.write(clearAll)
  try {
    for (;;) {
      paint()
      lines = await linesUnlessGone(next)
    }
  } catch (error) {
    if (!interrupted.aborted) throw error
  } finally {
    terminal.off('resize', resized)
    terminal.write('\n')
  }
}

/** A mount that ends meanwhile may be made again: that is waited for. */
async function linesUnlessGone(next: () => Promise<readonly Rates[]>): Promise<readonly string[]> {
  try {
    return linesOf(await next())
  } catch (error) {
    if (!isError(error, 'notFound')) throw error
    return [error.message]
  }
}

/** The mountpoint that a user means, as mounts call it: links in its path are followed, as far as it is there. */
function placeOf(given: string): string {
  try {
    return realpathSync(given)
  } catch {
    // That of a mount that has died cannot be looked at.
    return resolve(given)
  }
}

function linesOf(all: readonly Rates[]): readonly string[] {
  return all.flatMap((rates, index) => [...(index === 0 ? [] : ['']), ...viewOf(rates)])
}

function nothingFound(
  user: string,
  mountpoint: string | undefined,
  all: readonly Figures[],
): string {
  if (mountpoint === undefined || all.length === 0) {
    return `no mount of ${user} that you have made on this machine answers`
  }
  const others = all.map((one) => one.mountpoint).join(', ')
  return `${mountpoint}: no mount of ${user} there answers; there are ${others}`
}

/** The keys q and Control-C, where the program is in a terminal and nothing else reads it. */
class EndKeys {
  readonly #controller = new AbortController()
  readonly #isRaw = process.stdin.isTTY && process.stdout.isTTY

  constructor() {
    if (!this.#isRaw) return
    process.stdin.setRawMode(true)
    process.stdin.on('data', this.#onData)
  }

  get pressed(): AbortSignal {
    return this.#controller.signal
  }

  stop(): void {
    if (!this.#isRaw) return
    process.stdin.off('data', this.#onData)
    process.stdin.setRawMode(false)
    process.stdin.pause()
  }

  readonly #onData = (bytes: Buffer): void => {
    if (/[qQ]/.test(bytes.toString()) || bytes.includes(controlC)) this.#controller.abort()
  }
}
