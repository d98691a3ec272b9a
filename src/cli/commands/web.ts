/**
 * WEB: serves a page for a browser of this machine: the four servers, the pieces of files drawn on them, and what could
 * not be read without one or two of them. It changes nothing.
 */
import { systemClock } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { IdleClient } from '../idle-client.js'
import type { Status } from '../session.js'
import type { Output } from '../terminal/output.js'
import type { Command, OptionValue } from './command.js'
import { type UseClient, webAnswers } from './web-answers.js'
import { WebServer } from './web-server.js'

const portMax = 65_535

export const web: Command = {
  name: 'web',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'serve a page that shows the servers and the pieces of files',
  details: [
    'Prints the address of the page. The address contains a secret: anyone who has it can see file names and',
    'sizes, but neither content nor password. The page is for browsers on this machine, and changes nothing.',
    'Control-C ends it. While a page is shown, mounts of the account are not alone for a moment every 5 s.',
  ].join(' '),
  options: [['--port [port]', 'the port to listen on; any free port when left out']],
  completes: [],

  run: ({ client, output, interrupted }, _, { port }) =>
    serve(output, port, (action) => action(client), interrupted),
  async runWithoutLogin({ openClient, output }, _, { port }) {
    const idle = new IdleClient({ clock: systemClock, open: openClient, idleMs: limits.webIdleMs })
    try {
      // A login that is refused is said here, and not to the first page.
      await idle.use(async () => {})
      return await serve(output, port, (action) => idle.use(action), neverAborted)
    } finally {
      await idle.close()
    }
  },
}

/** Control-C ends the whole program where there is no prompt. */
const neverAborted = new AbortController().signal

async function serve(
  output: Output,
  port: OptionValue | undefined,
  use: UseClient,
  interrupted: AbortSignal,
): Promise<Status> {
  const server = await WebServer.start(portOf(port), webAnswers(use))
  output.print(`The page is at ${server.url}`)
  output.print('Control-C ends it')
  try {
    await new Promise<void>((resolve) => {
      if (interrupted.aborted) resolve()
      interrupted.addEventListener('abort', () => resolve(), { once: true })
    })
  } finally {
    await server.close()
  }
  return 0
}

/** Any port where none is given. Throws `invalid`. */
function portOf(port: OptionValue | undefined): number {
  if (typeof port !== 'string') return 0
  const number = /^\d{1,5}$/.test(port) ? Number(port) : Number.NaN
  if (number <= portMax) return number
  throw new DfsError('invalid', `--port ${port}: expected a number from 0 to ${portMax}`)
}
