/** The daemon's end of the socket by which another process asks a mount for something (src/mount-control.ts). */
import { once } from 'node:events'
import { stat, unlink } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { asDfsError } from '../../errors.js'
import { debugFuse } from '../../log.js'
import {
  type ControlAnswer,
  type ControlRequest,
  controlRequestOf,
  onControlLine,
  controlSocketName as socketName,
  withShortPath,
} from '../../mount-control.js'

const answerTimeoutMs = 1000

type RequestOf<V extends ControlRequest['verb']> = Extract<ControlRequest, { readonly verb: V }>
export type WhyRequest = RequestOf<'why'>

/** Handlers of a daemon's verbs. A rejection is sent to the other process as the reason. */
export type ControlTable = {
  readonly [V in ControlRequest['verb']]: (
    request: RequestOf<V>,
  ) => Promise<Partial<Pick<ControlAnswer, 'remark' | 'why' | 'figures'>>>
}

export class Control {
  readonly #server: Server
  readonly #folder: string
  readonly #sockets: ReadonlySet<Socket>
  /** Inode number of the socket, which tells it from one that another daemon has put in its place. */
  readonly #ino: number

  private constructor(server: Server, folder: string, ino: number, sockets: ReadonlySet<Socket>) {
    this.#server = server
    this.#folder = folder
    this.#ino = ino
    this.#sockets = sockets
  }

  /** Listens in `folder`. A socket that a dead daemon left there is replaced. */
  static async start(folder: string, table: ControlTable): Promise<Control> {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      serveOne(socket, table)
    })
    await unlink(join(folder, socketName)).catch(() => undefined)
    await withShortPath(
      folder,
      (path) =>
        new Promise<void>((resolve, reject) => {
          server.once('error', reject)
          server.listen(path, resolve)
        }),
    )
    // The daemon lives as long as its mount, not as long as its socket.
    server.unref()
    const { ino } = await stat(join(folder, socketName))
    return new Control(server, folder, ino, sockets)
  }

  /** Closes the socket for new requests. Earlier ones still get an answer. */
  async close(): Promise<void> {
    this.#server.close()
    const path = join(this.#folder, socketName)
    const found = await stat(path).catch(() => undefined)
    if (found?.ino === this.#ino) await unlink(path).catch(() => undefined)
  }

  /** Resolves when every answer has been read, or after a moment. Awaited before the process ends. */
  async answered(): Promise<void> {
    const taken = [...this.#sockets].map((socket) => once(socket, 'close'))
    await Promise.race([Promise.all(taken), sleep(answerTimeoutMs, undefined, { ref: false })])
  }
}

function serveOne(socket: Socket, table: ControlTable): void {
  socket.on('error', (error) => debugFuse('control: %o', error))
  const answer = (value: ControlAnswer): void => {
    socket.end(`${JSON.stringify(value)}\n`)
  }
  onControlLine(socket, (line) => {
    perform(line, table).then(
      (done) => answer({ pid: process.pid, ...done }),
      (thrown: unknown) => answer({ pid: process.pid, error: asDfsError(thrown).message }),
    )
  })
}

async function perform(
  line: string,
  table: ControlTable,
): Promise<Partial<Pick<ControlAnswer, 'remark' | 'why' | 'figures'>>> {
  const request = controlRequestOf(line)
  const handler = table[request.verb] as (asked: ControlRequest) => ReturnType<ControlTable['why']>
  return await handler(request)
}
