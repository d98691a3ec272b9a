/**
 * The socket by which another process asks the daemon of a mount to unmount: in the mount's state folder, with one
 * line of JSON each way. Only the mounting user can reach it.
 */
import { once } from 'node:events'
import { open, stat, unlink } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { asDfsError, DfsError } from '../../errors.js'
import { debugFuse } from '../../log.js'

const socketName = 'control'
const lineBytesMax = 4096
const answerTimeoutMs = 1000

/** Handlers of a daemon's verbs. A rejection is sent to the other process as the reason. */
export interface ControlTable {
  /** Unmounts. Resolves with a sentence when the daemon goes on all the same. */
  readonly unmount: () => Promise<string | undefined>
  readonly status: () => Promise<undefined>
}
export type ControlVerb = keyof ControlTable

/** Runs `action` with a path to the folder that is short enough for a socket address, however long its own is. */
async function withShortPath<T>(folder: string, action: (path: string) => Promise<T>): Promise<T> {
  const handle = await open(folder, 'r')
  try {
    return await action(join('/proc/self/fd', String(handle.fd), socketName))
  } finally {
    await handle.close()
  }
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

/**
 * Sends `verb` to the daemon whose state is in `folder`, and waits until it is done. Throws `notFound` when there is
 * none, and the daemon's errors.
 */
export async function askDaemon(folder: string, verb: ControlVerb): Promise<Done> {
  const answer = await withShortPath(folder, (path) => exchange(path, verb)).catch(
    (cause: unknown) => {
      throw new DfsError('notFound', 'no daemon of this mountpoint answers', { cause })
    },
  )
  if (answer.error !== undefined) throw new DfsError('busy', answer.error)
  return answer
}

/** The answer of a daemon: its process id, and a remark if there is one. */
interface Done {
  readonly pid: number
  readonly remark?: string
}

interface Answer extends Done {
  readonly error?: string
}

function exchange(path: string, verb: ControlVerb): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(`${JSON.stringify({ verb })}\n`))
    onLine(socket, (line) => {
      socket.end()
      resolve(JSON.parse(line) as Answer)
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new DfsError('down', 'the daemon ended before it answered')))
  })
}

function serveOne(socket: Socket, table: ControlTable): void {
  socket.on('error', (error) => debugFuse('control: %o', error))
  const answer = (value: Answer): void => {
    socket.end(`${JSON.stringify(value)}\n`)
  }
  onLine(socket, (line) => {
    perform(line, table).then(
      (remark) => answer({ pid: process.pid, ...(remark !== undefined && { remark }) }),
      (thrown: unknown) => answer({ pid: process.pid, error: asDfsError(thrown).message }),
    )
  })
}

async function perform(line: string, table: ControlTable): Promise<string | undefined> {
  const { verb } = JSON.parse(line) as { verb?: unknown }
  if (typeof verb !== 'string' || !Object.hasOwn(table, verb)) throw new DfsError('invalid')
  return table[verb as ControlVerb]()
}

/** Calls `heard` with the first line that arrives. */
function onLine(socket: Socket, heard: (line: string) => void): void {
  let text = ''
  const listen = (bytes: Buffer): void => {
    text += bytes.toString()
    const end = text.indexOf('\n')
    if (end === -1 && text.length < lineBytesMax) return
    socket.off('data', listen)
    heard(text.slice(0, Math.max(0, end)))
  }
  socket.on('data', listen)
}
