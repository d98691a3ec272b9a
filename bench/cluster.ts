/**
 * Four servers and a mount that are started for one run, on free ports and in a temporary folder. Each is a process
 * that can be killed, frozen and started again.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { undoLater } from './clean-up.js'
import { run } from './programs.js'

const serverNames = ['DFS1', 'DFS2', 'DFS3', 'DFS4']
const startDeadlineMs = 20_000
const stopDeadlineMs = 40_000

/** The checkout that this file belongs to: it runs as dist/bench/cluster.js. */
export const thisCheckout = join(import.meta.dirname, '..', '..')

export interface ClusterOptions {
  /** An empty folder for everything. */
  readonly home: string
  /** Folder for CPU profiles of the servers and the mount. */
  readonly profiles: string | undefined
  /** A built checkout of this project, whose programs are run. */
  readonly checkout: string
  /** Everything goes over TLS, although it stays on this machine. */
  readonly tls?: boolean
  /** For how long what is removed or replaced is kept, as dfs.conf says it. */
  readonly trash?: string
}

export class Cluster {
  readonly mountpoint: string
  readonly clientConfig: string
  readonly #options: ClusterOptions
  readonly #serverConfig: string
  readonly #servers: (ChildProcess | undefined)[] = []
  readonly #ports: number[] = [0, 0, 0, 0]
  #mount: ChildProcess | undefined

  private constructor(options: ClusterOptions) {
    this.#options = options
    this.mountpoint = join(options.home, 'mnt')
    this.clientConfig = join(options.home, 'dfc.conf')
    this.#serverConfig = join(options.home, 'dfs.conf')
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const cluster = await Cluster.startServers(options)
    await cluster.mount()
    return cluster
  }

  /** Starts servers without a mount, for a caller that is a client itself. */
  static async startServers(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options)
    undoLater(() => cluster.#remove())
    mkdirSync(cluster.mountpoint, { recursive: true })
    const password = randomBytes(12).toString('hex')
    const trash = options.trash === undefined ? '' : `trash = "${options.trash}"\n`
    const user = `[users.bench]\npassword = "${password}"\n${trash}`
    writeFileSync(cluster.#serverConfig, user, { mode: 0o600 })
    await Promise.all(serverNames.map((_, index) => cluster.startServer(index)))
    writeFileSync(cluster.clientConfig, cluster.#clientText(password), { mode: 0o600 })
    return cluster
  }

  // -- servers -----------------------------------------------------------------------------------

  /** Starts a server, on the port and in the folder that it had before, if any. */
  async startServer(index: number): Promise<void> {
    const folder = join(this.#options.home, serverNames[index] ?? '')
    mkdirSync(folder, { recursive: true })
    const args = [folder, String(this.#ports[index]), '--config', this.#serverConfig]
    const server = this.#fork(join(this.#programs, 'dfs', 'main.js'), 'dfs-server', args)
    this.#servers[index] = server
    const said = (await saidFirst(server)) as { readonly listening: number }
    this.#ports[index] = said.listening
  }

  /** Sends SIGKILL, SIGSTOP or SIGCONT to a server. */
  async signalServer(index: number, signal: NodeJS.Signals): Promise<void> {
    const server = this.#servers[index]
    if (server === undefined) return
    if (signal === 'SIGKILL') {
      await killed(server)
      this.#servers[index] = undefined
    } else server.kill(signal)
  }

  /** Gives a server that does not run an empty folder, like a new disk. */
  async wipeServer(index: number): Promise<void> {
    const folder = join(this.#options.home, serverNames[index] ?? '')
    await rm(folder, { recursive: true, force: true })
  }

  // -- the mount ---------------------------------------------------------------------------------

  async mount(): Promise<void> {
    const args = ['--config', this.clientConfig, '--foreground', this.mountpoint]
    this.#mount = this.#fork(join(this.#programs, 'fuse', 'main.js'), 'dfs-mount', args)
    await saidFirst(this.#mount)
  }

  /** Unmounts in order, so that everything is stored; kills the mount if that takes too long. */
  async unmount(): Promise<void> {
    const mount = this.#mount
    this.#mount = undefined
    if (mount === undefined || mount.exitCode !== null) return
    const ended = once(mount, 'exit')
    mount.kill('SIGTERM')
    const late = setTimeout(() => mount.kill('SIGKILL'), stopDeadlineMs)
    await ended
    clearTimeout(late)
  }

  /** Restarts all processes, so that nothing is in their memory. */
  async restart(): Promise<void> {
    await this.unmount()
    await Promise.all(
      this.#servers.map(async (server, index) => {
        if (server !== undefined) await ended(server)
        await this.startServer(index)
      }),
    )
    await this.mount()
  }

  /** The command-line client of the same checkout. */
  get clientProgram(): string {
    return join(this.#options.checkout, 'bin', 'dfc')
  }

  /** Process ids of the servers that run. */
  get serverProcesses(): readonly number[] {
    return this.#servers.flatMap((server) => (server?.pid === undefined ? [] : [server.pid]))
  }

  /** Peak memory of each process in MiB: VmHWM of proc(5). */
  async memoryPeaks(): Promise<{ readonly mount: number; readonly servers: readonly number[] }> {
    const servers = await Promise.all(this.#servers.map((server) => memoryPeak(server)))
    return { mount: await memoryPeak(this.#mount), servers }
  }

  // ----------------------------------------------------------------------------------------------

  get #programs(): string {
    return join(this.#options.checkout, 'dist', 'src')
  }

  async #remove(): Promise<void> {
    await this.unmount()
    await run('fusermount3', ['-u', '-z', this.mountpoint]).catch(() => undefined)
    const { profiles } = this.#options
    await Promise.all(
      this.#servers.map((server) => server && (profiles ? ended(server) : killed(server))),
    )
  }

  /**
   * Starts a program in a process group of its own: Ctrl-C reaches the benchmark alone, which ends the program in
   * order. Node runs with the options that the program has when a user starts it.
   */
  #fork(program: string, shim: string, args: readonly string[]): ChildProcess {
    const { profiles, home, checkout } = this.#options
    const profiling = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`]
    const child = fork(program, args, {
      cwd: '/',
      detached: true,
      env: {
        ...process.env,
        XDG_STATE_HOME: join(home, 'state'),
        XDG_DATA_HOME: join(home, 'data'),
      },
      execArgv: [...optionsIn(join(checkout, 'bin', shim)), ...profiling],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    // The last lines of output, for the error when the program does not start.
    const lines: string[] = []
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      lines.push(text)
      if (lines.length > 20) lines.shift()
      if (process.env.BENCH_VERBOSE) process.stderr.write(text)
    })
    lastLines.set(child, lines)
    return child
  }

  #clientText(password: string): string {
    const servers = serverNames.map(
      (name, index) =>
        `\n[[server]]\nname = "${name}"\naddress = "127.0.0.1:${this.#ports[index]}"\n`,
    )
    const tls = this.#options.tls ? 'tls = "on"\n' : ''
    return `user = "bench"\npassword = "${password}"\ntimeout = "2s"\n${tls}${servers.join('')}`
  }
}

/** Options of Node in the line by which the file `shim` in bin/ starts the program. */
function optionsIn(shim: string): string[] {
  const line = /^exec .*\/node" (.*)"\$root\/dist\//m.exec(readFileSync(shim, 'utf8'))
  return line?.[1]?.split(' ').filter((word) => word !== '') ?? []
}

const lastLines = new WeakMap<ChildProcess, readonly string[]>()

/** Resolves with the message by which a program reports that it is ready. */
async function saidFirst(child: ChildProcess): Promise<unknown> {
  const late = AbortSignal.timeout(startDeadlineMs)
  const settled = new AbortController()
  const signal = AbortSignal.any([late, settled.signal])
  try {
    const [message] = (await Promise.race([
      once(child, 'message', { signal }),
      once(child, 'exit', { signal }).then(() => {
        throw new Error(`ended early: ${lastLines.get(child)?.join('') ?? ''}`)
      }),
    ])) as [unknown]
    return message
  } finally {
    settled.abort()
  }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

/** Ends a process in order, by SIGTERM. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGCONT')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), stopDeadlineMs)
  await exit
  clearTimeout(late)
}

async function memoryPeak(child: ChildProcess | undefined): Promise<number> {
  if (child?.pid === undefined) return Number.NaN
  const text = await readFile(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s*(\d+) kB/m.exec(text)?.[1]) / 1024
}
