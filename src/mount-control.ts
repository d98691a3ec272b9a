/**
 * The socket by which another process asks the daemon of a mount for something: in the mount's state folder, with one
 * line of JSON each way. Only the mounting user can reach it.
 */
import { existsSync, readdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import * as v from 'valibot'
import { DfsError } from './errors.js'
import { limits } from './limits.js'
import { whySchema } from './noted-failure.js'
import { stateHome } from './state-home.js'

export const controlSocketName = 'control'

const requestSchema = v.variant('verb', [
  v.object({ verb: v.literal('unmount') }),
  v.object({ verb: v.literal('status') }),
  v.object({ verb: v.literal('figures') }),
  v.object({
    verb: v.literal('why'),
    ino: v.number(),
    /** The device of the mount that is to answer, "major:minor"; others refuse. */
    device: v.optional(v.string()),
    /** Id of the four servers, and the user: only mounts of this account are to answer. */
    cluster: v.optional(v.string()),
    user: v.optional(v.string()),
  }),
])

const answerSchema = v.object({
  pid: v.number(),
  /** Why it was not done. */
  error: v.optional(v.string()),
  remark: v.optional(v.string()),
  why: v.optional(whySchema),
  /** Counters of the mount, which is of the same release: see `MountFigures`. */
  figures: v.optional(v.unknown()),
})

export type ControlRequest = v.InferOutput<typeof requestSchema>
export type ControlAnswer = v.InferOutput<typeof answerSchema>

/**
 * Sends `request` to the daemon whose state is in `folder`, and waits until it is done. Throws `notFound` when there is
 * none or it does not answer within `controlAnswerMs`, but for an unmount, which takes its time, and `busy` with the daemon's error.
 */
export async function askDaemon(folder: string, request: ControlRequest): Promise<ControlAnswer> {
  const answer = await withShortPath(folder, (path) => exchange(path, request)).catch(
    (cause: unknown) => {
      throw new DfsError('notFound', 'no daemon of this mountpoint answers', { cause })
    },
  )
  if (answer.error !== undefined) throw new DfsError('busy', answer.error)
  return answer
}

/** Returns the state folders in which a daemon has had its socket. It may have ended since. */
export function controlFolders(home: string = stateHome()): readonly string[] {
  const folders = stateFolders(home).map((name) => join(home, name))
  return folders.filter((folder) => existsSync(join(folder, controlSocketName)))
}

/** Returns the names of the state folders of all mounts, in order; none if no mount was ever made here. */
export function stateFolders(home: string = stateHome()): readonly string[] {
  try {
    const entries = readdirSync(home, { withFileTypes: true })
    return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort()
  } catch {
    return []
  }
}

/** Parses what another process has sent. Throws. */
export function controlRequestOf(line: string): ControlRequest {
  return v.parse(requestSchema, JSON.parse(line))
}

/** Runs `action` with a path to the socket that is short enough for an address, however long that of `folder` is. */
export async function withShortPath<T>(
  folder: string,
  action: (path: string) => Promise<T>,
): Promise<T> {
  const handle = await open(folder, 'r')
  try {
    return await action(join('/proc/self/fd', String(handle.fd), controlSocketName))
  } finally {
    await handle.close()
  }
}

/** Calls `arrived` with the first line that arrives. */
export function onControlLine(socket: Socket, arrived: (line: string) => void): void {
  const chunks: Buffer[] = []
  let bytes = 0
  const listen = (chunk: Buffer): void => {
    chunks.push(chunk)
    bytes += chunk.length
    if (!chunk.includes('\n') && bytes < limits.controlLineBytesMax) return
    socket.off('data', listen)
    arrived(Buffer.concat(chunks).toString().split('\n', 1)[0] ?? '')
  }
  socket.on('data', listen)
}

function exchange(path: string, request: ControlRequest): Promise<ControlAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(`${JSON.stringify(request)}\n`))
    // An unmount takes as long as it takes to store what is not stored yet.
    if (request.verb !== 'unmount') {
      socket.setTimeout(limits.controlAnswerMs, () =>
        socket.destroy(new DfsError('timedOut', 'the daemon does not answer')),
      )
    }
    onControlLine(socket, (line) => {
      socket.end()
      try {
        resolve(v.parse(answerSchema, JSON.parse(line)))
      } catch (error) {
        reject(error)
      }
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new DfsError('down', 'the daemon ended before it answered')))
  })
}
