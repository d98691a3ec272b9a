/**
 * Runs the programs that do the work, each in a process group of its own, so that a deadline or the end of the run
 * kills all of its processes. This process itself never touches a folder under test: a mount that hangs must not hang the
 * benchmark.
 */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { undoLater } from './clean-up.js'

export interface Ended {
  readonly seconds: number
  readonly output: string
}

export interface ProgramOptions {
  readonly deadlineMs?: number
  /** Returns the standard output, which otherwise goes to /dev/null. */
  readonly keepOutput?: boolean
}

/** A program that did not end in time is killed with SIGKILL; one that is stuck is left behind. */
const killPatienceMs = 2_000
const deadlineDefaultMs = 60_000
const complaintBytesMax = 500

/** Fixed language, settings and times of commits, so that every machine does the same work. */
const environment = {
  ...process.env,
  LC_ALL: 'C',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_DATE: '2000-01-01T00:00:00Z',
  GIT_COMMITTER_DATE: '2000-01-01T00:00:00Z',
}

/** Whether a program is in one of the folders of PATH. */
export function isInstalled(program: string): boolean {
  const folders = (process.env.PATH ?? '').split(':')
  return folders.some((folder) => isExecutable(join(folder, program)))
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Runs a program to its end and returns the seconds that it took, start-up included. */
export async function time(program: string, ...args: readonly string[]): Promise<number> {
  return (await run(program, args)).seconds
}

/** Reads a file, or all files in a folder, so that a program which reads it next does not wait for the local disk. */
export async function readOnce(path: string): Promise<void> {
  await time('find', path, '-type', 'f', '-exec', 'cat', '{}', '+')
}

/** Runs a line of sh(1); `args` are its $1, $2 ... */
export async function timeShell(line: string, ...args: readonly string[]): Promise<number> {
  return time('sh', '-c', line, 'sh', ...args)
}

export async function run(
  program: string,
  args: readonly string[],
  { deadlineMs = deadlineDefaultMs, keepOutput = false }: ProgramOptions = {},
): Promise<Ended> {
  const startMs = performance.now()
  const child = spawn(program, args, {
    cwd: '/',
    detached: true,
    env: environment,
    stdio: ['ignore', keepOutput ? 'pipe' : 'ignore', 'pipe'],
  })
  let output = ''
  let complaint = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    if (complaint.length < complaintBytesMax) complaint += text
  })
  const kill = (): void => {
    if (child.pid !== undefined && child.exitCode === null) killGroup(child.pid)
  }
  const forget = undoLater(async () => kill())
  const name = `${program} ${args.join(' ')}`.slice(0, 80)
  try {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => {
        kill()
        setTimeout(() => reject(new Error(`not done in ${deadlineMs} ms: ${name}`)), killPatienceMs)
      }, deadlineMs)
      child.once('error', reject)
      child.once('close', (status, signal) => {
        clearTimeout(late)
        const how = signal ?? `status ${status}`
        if (status === 0) resolve()
        else reject(new Error(`${name}: ${how}: ${complaint.trim().split('\n').at(-1) ?? ''}`))
      })
    })
    return { seconds: (performance.now() - startMs) / 1000, output }
  } finally {
    await forget()
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
