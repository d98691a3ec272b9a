/** Starts the daemon in the background. Returns when the mount is usable, or throws why it is not. */
import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { DfsError, type ErrorCode } from '../../errors.js'
import { leaveGroup } from '../mount/own-session.js'
import { makeStateFolder, type StateFolder } from './state-folder.js'

/** The daemon's message to the process that started it. */
export type Report =
  | { readonly ready: true }
  | { readonly failed: string; readonly code: ErrorCode }
  /** It goes on to wait for servers. */
  | { readonly waiting: string }

const standardError = 2

/**
 * Starts a daemon. `args` are those of one in the foreground. It writes its log to the file `log` or, without one, to
 * the standard error of this process. The daemon reads `input`, which may be secret, from its standard input, because
 * its arguments and its environment can be read in /proc.
 */
export async function launch(
  state: StateFolder,
  log: string | undefined,
  args: readonly string[],
  input: string | undefined,
): Promise<void> {
  await makeStateFolder(state)
  const file = log === undefined ? undefined : await open(log, 'a', 0o600)
  const output = file?.fd ?? standardError
  const logged = log === undefined ? [] : ['--log', log]
  const [, script = ''] = process.argv
  const child = spawn(process.execPath, [...process.execArgv, script, ...logged, ...args], {
    cwd: '/',
    stdio: [input === undefined ? 'ignore' : 'pipe', output, output, 'ipc'],
  })
  // A daemon that ends before it has read its input reports why by other means.
  child.stdin?.on('error', () => undefined).end(input)
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', () => {
        reject(
          new DfsError('io', `the daemon ended before it had mounted; see ${log ?? 'the journal'}`),
        )
      })
      child.on('message', (report: Report) => {
        if ('waiting' in report) process.stderr.write(`dfs-mount: ${report.waiting}\n`)
        else if ('ready' in report) resolve()
        else reject(new DfsError(report.code, report.failed))
      })
    })
  } finally {
    await file?.close()
    if (child.connected) child.disconnect()
    child.unref()
  }
}

/**
 * Sends a report from the daemon to the process that started it in the background, if one did. When the mount is ready,
 * nothing but that report connects the two any more.
 */
export function report(said: Report): void {
  if (process.send === undefined) return
  if ('ready' in said) leaveGroup()
  // When the other side has its last report, an error would mean that it has stopped waiting.
  process.send(said, undefined, undefined, () => {
    if (!('waiting' in said)) process.disconnect?.()
  })
}
