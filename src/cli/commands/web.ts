/**
 * WEB: serves a page for a browser of this machine: the four servers, the pieces of files drawn on them, and what could
 * not be read without one or two of them. It changes nothing.
 */
import { DfsError } from '../../errors.js'
import type { Command } from './command.js'
import { webAnswers } from './web-answers.js'
import { WebServer } from './web-server.js'

const portMax = 65_535

export const web: Command = {
  name: 'web',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'serve a page that shows the servers and the pieces of files',
  details: [
    'Prints the address of the page, which has a secret in it: who has the address can see names of files, and how much',
    'there is, but neither content nor password. The page is for browsers of this machine, and changes nothing.',
    'Control-C ends it. While it runs, mounts of the account are not alone.',
  ].join('\n'),
  options: [['--port [port]', 'the port to listen on; any when left out']],
  completes: [],

  async run(session, _, { port = '0' }) {
    const number = typeof port === 'string' && /^\d{1,5}$/.test(port) ? Number(port) : Number.NaN
    if (!(number <= portMax)) {
      throw new DfsError('invalid', `--port ${port}: expected a number from 0 to ${portMax}`)
    }
    const server = await WebServer.start(number, webAnswers(session))
    session.output.print(`The page is at ${server.url}`)
    session.output.print('Control-C ends it')
    try {
      await new Promise<void>((resolve) => {
        if (session.interrupted.aborted) resolve()
        session.interrupted.addEventListener('abort', () => resolve(), { once: true })
      })
    } finally {
      await server.close()
    }
    return 0
  },
}
