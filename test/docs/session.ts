/**
 * The session that the recording in README shows: four real servers on this machine, a mount, a server that hangs and
 * comes back. It runs with a home, a network and processes of its own, and nothing of it is left behind.
 */
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { spawnMortal, temporaryFolder } from '../fixtures/mortal.js'
import { root } from './documents.js'

/** One command of the session, and what has to come of it. */
export interface Step {
  readonly command: string
  readonly says: RegExp
  readonly status: number
}

/** Output of a step, and how long after the beginning of the step it came. */
interface Output {
  readonly afterMs: number
  readonly text: string
}

/** A step as it went. */
export interface Recorded {
  readonly command: string
  readonly outputs: readonly Output[]
  readonly status: number
}

const pidFile = '~/.local/share/dfs/run/DFS2.pid'

export const steps: readonly Step[] = [
  { command: 'dfs-mount ~/dfs', says: /four servers on this machine keep the files/, status: 0 },
  { command: 'cp /etc/services ~/dfs/', says: /^$/, status: 0 },
  { command: 'dfc info services | tail -4', says: /P1 .*DFS\d DFS\d/, status: 0 },
  { command: `kill -STOP $(cat ${pidFile})    # a server hangs`, says: /^$/, status: 0 },
  { command: 'cmp /etc/services ~/dfs/services && echo same', says: /^same$/m, status: 0 },
  { command: 'date > ~/dfs/new', says: /^$/, status: 0 },
  { command: 'dfc status', says: /DFS2 .* down[\s\S]*Three servers: everything works/, status: 2 },
  { command: 'dfc what-if --down DFS3', says: /Nothing could be changed/, status: 1 },
  { command: `kill -CONT $(cat ${pidFile})    # it comes back`, says: /^$/, status: 0 },
  { command: 'dfc status --wait', says: /All four servers are up and complete/, status: 0 },
  { command: 'dfs-mount --unmount ~/dfs', says: /^$/, status: 0 },
]

const deadlineMs = 60_000
const pollMs = 20
/** What session.sh prints around the output of a command. */
const beforeCommand = '\x1e'
const afterCommand = '\x1f'
const shownHome = '/home/alice'
const namespaces = '--net --mount --pid --fork --kill-child --mount-proc'.split(' ')

/** Runs the steps, as root, and returns how they went. The temporary home is shown as /home/alice. */
export async function recordSession(): Promise<readonly Recorded[]> {
  const home = temporaryFolder('dfs-session-')
  mkdirSync(join(home, 'dfs'))
  const script = join(root, 'test/docs/session.sh')
  const child = spawnMortal('unshare', [...namespaces, script], {
    env: {
      HOME: home,
      PATH: `${join(root, 'bin')}:${process.env.PATH}`,
      TZ: 'UTC',
      LC_ALL: 'C.UTF-8',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: deadlineMs,
  })
  let parts: Output[] = []
  let beganMs = performance.now()
  child.stdout?.on('data', (bytes: Buffer) => {
    parts.push({ afterMs: performance.now() - beganMs, text: bytes.toString() })
  })
  const ended = once(child, 'exit')
  const recorded: Recorded[] = []
  for (const { command } of steps) {
    parts = []
    beganMs = performance.now()
    child.stdin?.write(`${command}\n`)
    while (!isWhole(textOf(parts))) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the session ended in "${command}": ${textOf(parts)}`)
      await sleep(pollMs)
    }
    recorded.push({ command, ...resultOf(parts, home) })
  }
  child.stdin?.end()
  await ended
  return recorded
}

/** Whether the status of the command has come, with its line. */
function isWhole(text: string): boolean {
  return text.includes(afterCommand) && text.endsWith('\n')
}

function textOf(parts: readonly Output[]): string {
  return parts.map(({ text }) => text).join('')
}

function resultOf(parts: readonly Output[], home: string): Omit<Recorded, 'command'> {
  const outputs = parts.map(({ afterMs, text }) => ({
    afterMs,
    text: (text.split(afterCommand)[0] ?? '')
      .replace(beforeCommand, '')
      .replaceAll(home, shownHome),
  }))
  const status = Number(textOf(parts).split(afterCommand)[1])
  return { outputs: outputs.filter(({ text }) => text !== ''), status }
}
