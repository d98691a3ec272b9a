/**
 * PUT of a stream whose length nobody knows: standard input, or what a command prints. The file appears when the stream
 * has ended as it should; otherwise nothing is stored.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { DfsError } from '../../errors.js'
import { fileType } from '../../wire/records.js'
import { isFolder, placeOf } from '../paths/remote-path.js'
import type { Session } from '../session.js'
import { Progress } from '../terminal/progress.js'
import { sumText } from '../terminal/tally.js'
import { ownIdentity } from './owner.js'
import { untilInterrupted } from './transfer.js'

/** A stream, and what must be waited for when it has ended: it throws when the stream is not whole. */
interface Source {
  readonly stream: Readable
  readonly finish: () => Promise<void>
}

/** Stores standard input. */
export function putInput(session: Session, target: string, stats: boolean): Promise<void> {
  const { input } = session
  if (input === undefined) {
    throw new DfsError('invalid', 'the prompt reads standard input itself: use "dfc put - NAME"')
  }
  return put(session, target, stats, () => ({ stream: input(), finish: async () => {} }))
}

/** Stores what a command prints, if it ends with status 0. */
export async function putOutputOf(
  session: Session,
  target: string,
  stats: boolean,
  command: readonly string[],
): Promise<void> {
  const [program = '', ...words] = command
  const stdin = session.input === undefined ? 'ignore' : 'inherit'
  let child: ChildProcess | undefined
  const end = (): void => {
    child?.kill()
  }
  process.on('exit', end)
  try {
    await put(session, target, stats, () => {
      const started = spawn(program, words, { stdio: [stdin, 'pipe', 'inherit'] })
      child = started
      const ended = endOf(started, program)
      // It is thrown when the stream has ended.
      ended.catch(() => {})
      return { stream: started.stdout, finish: () => ended }
    })
  } finally {
    process.off('exit', end)
    end()
  }
}

async function endOf(child: ChildProcess, program: string): Promise<void> {
  const [status, signal] = await once(child, 'close').catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new DfsError('notFound', `${program} cannot be started: ${why}`, { cause })
  })
  if (status === 0) return
  const how = signal === null ? `ended with status ${status}` : `was ended by ${signal}`
  throw new DfsError('io', `${program} ${how}; nothing was stored`)
}

async function put(
  session: Session,
  target: string,
  stats: boolean,
  open: () => Source,
): Promise<void> {
  const { client, interrupted, output } = session
  const { content, namespace, cluster } = client
  const place = await placeOf(namespace, target, 'followLink')
  if (place.node !== undefined && isFolder(place.node)) {
    throw new DfsError('isDirectory', 'Is a directory; a stream needs a name')
  }
  if (target.endsWith('/')) throw new DfsError('notDirectory')
  const progress = new Progress(output, cluster.clock)
  const file = progress.begin(target, undefined)
  const store = async (): Promise<void> => {
    let bytes = 0
    // Node drops what a child prints that nobody reads when the child ends.
    const { stream, finish } = open()
    const counted = async function* () {
      for await (const chunk of untilInterrupted<Buffer>(stream, interrupted)) {
        bytes += chunk.length
        yield chunk
      }
      await finish()
    }
    const staged = await content.stage(counted(), { onSent: (count) => file.tally.moved(count) })
    interrupted.throwIfAborted()
    const mode = fileType.file | (0o666 & ~process.umask())
    const { inline } = staged
    const attributes = { mode, ...ownIdentity(), content: staged.content }
    await namespace.replace(place.parent, place.name, {
      ...attributes,
      ...(inline === undefined ? {} : { inline }),
    })
    if (inline !== undefined) file.tally.moved(bytes)
    file.tally.finish('moved')
  }
  try {
    await output.advising('nothing was stored', store)
  } finally {
    file.end()
    progress.stop()
  }
  if (stats || progress.wasShown) output.say(sumText(progress.tally.sum))
}
