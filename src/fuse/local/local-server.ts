/** One server process on this machine: started or found running, watched, and restarted. */
import { type ChildProcess, spawn } from 'node:child_process'
import { open, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sentenceOf } from '../../error-message.js'
import { DfsError } from '../../errors.js'
import { notice } from '../../log.js'
import { makePrivateFolder } from '../../private-file.js'

export interface LocalServerOptions {
  /** DFS1 .. DFS4, for messages. */
  readonly name: string
  readonly folder: string
  readonly port: number
  readonly runFolder: string
  readonly serverFile: string
}

/** This file runs as <project>/dist/src/fuse/local/local-server.js. */
const program = resolve(import.meta.dirname, '../../../../bin/dfs-server')

const startTimeoutMs = 20_000
const stopTimeoutMs = 10_000
const pollMs = 250
const backOffMs = { first: 250, most: 30_000 } as const
/** Time in ms after which a server's end is not due to the way it was started. */
const healthyMs = 30_000

export class LocalServer {
  readonly #options: LocalServerOptions
  readonly #pidFile: string
  readonly #logFile: string
  #pid: number | undefined
  #startedMs = 0
  #waitMs: number = backOffMs.first
  #watching = false
  #watch: Promise<void> | undefined

  constructor(options: LocalServerOptions) {
    this.#options = options
    this.#pidFile = join(options.runFolder, `${options.name}.pid`)
    this.#logFile = join(options.runFolder, `${options.name}.log`)
  }

  get pid(): number | undefined {
    return this.#pid
  }

  /** Starts the server. Resolves when it listens. Throws `configuration`, or `busy` when another program has the port. */
  async start(): Promise<void> {
    if (await isListening(this.#options.port)) {
      this.#pid = await this.#runningPid()
      if (this.#pid === undefined) throw this.#portTaken()
    } else {
      await this.#spawn()
    }
    this.#watching = true
    this.#watch = this.#keepAlive()
  }

  /** Stops watching; the server goes on. */
  async leave(): Promise<void> {
    this.#watching = false
    await this.#watch
  }

  /** Stops the server and waits until it has ended. */
  async stop(): Promise<void> {
    await this.leave()
    if (this.#pid === undefined) return
    signal(this.#pid, 'SIGTERM')
    const deadlineMs = performance.now() + stopTimeoutMs
    while (isAlive(this.#pid) && performance.now() < deadlineMs) await sleep(pollMs / 5)
    if (isAlive(this.#pid)) signal(this.#pid, 'SIGKILL')
    await rm(this.#pidFile, { force: true })
  }

  async #keepAlive(): Promise<void> {
    while (this.#watching) {
      await sleep(pollMs)
      if (!this.#watching || (this.#pid !== undefined && isAlive(this.#pid))) continue
      if (performance.now() - this.#startedMs > healthyMs) this.#waitMs = backOffMs.first
      notice(`${this.#options.name} exited unexpectedly; restarting`, 'warning')
      await this.#pause(this.#waitMs)
      this.#waitMs = Math.min(this.#waitMs * 2, backOffMs.most)
      if (!this.#watching) return
      await this.#spawn().catch((error: unknown) => notice(sentenceOf(error), 'error'))
    }
  }

  /** Waits in steps, so that a stop takes effect soon. */
  async #pause(ms: number): Promise<void> {
    const untilMs = performance.now() + ms
    while (this.#watching && performance.now() < untilMs) await sleep(pollMs / 2)
  }

  async #spawn(): Promise<void> {
    const { folder, port, serverFile } = this.#options
    makePrivateFolder(folder)
    const log = await open(this.#logFile, 'a', 0o600)
    try {
      const words = [folder, String(port), '--config', serverFile, '--log', this.#logFile]
      const child = spawn(program, words, {
        cwd: '/',
        detached: true,
        stdio: ['ignore', log.fd, log.fd, 'ipc'],
      })
      this.#startedMs = performance.now()
      await this.#listening(child)
      this.#pid = child.pid
      // From now on the server does not depend on this process.
      child.disconnect()
      child.unref()
    } finally {
      await log.close()
    }
    await writeFile(this.#pidFile, String(this.#pid), { mode: 0o600 })
  }

  #listening(child: ChildProcess): Promise<void> {
    const { name } = this.#options
    return new Promise((resolve, reject) => {
      const fail = async (why: string): Promise<void> => {
        clearTimeout(timer)
        child.kill('SIGKILL')
        // Another program may have been quicker, such as the servers of another user.
        if (await isListening(this.#options.port)) reject(this.#portTaken())
        else reject(new DfsError('configuration', `${name} did not start: ${why}`))
      }
      const timer = setTimeout(fail, startTimeoutMs, `no answer in time, see ${this.#logFile}`)
      child.once('error', (error) => fail(error.message))
      child.once('exit', () => {
        void lastLine(this.#logFile).then(fail)
      })
      child.once('message', () => {
        clearTimeout(timer)
        child.removeAllListeners('exit')
        resolve()
      })
    })
  }

  #portTaken(): DfsError {
    const { name, port } = this.#options
    const why = `port ${port}, for ${name}, is taken by another program; choose other ports with --port`
    return new DfsError('busy', why)
  }

  /** Process id of a running server that an earlier mount started for this folder, if any. */
  async #runningPid(): Promise<number | undefined> {
    const pid = Number(await readFile(this.#pidFile, 'utf8').catch(() => ''))
    if (!Number.isInteger(pid) || pid <= 0) return undefined
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const words = command.split('\0')
    const { folder, port } = this.#options
    return words.includes(folder) && words.includes(String(port)) ? pid : undefined
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    const answer = (listening: boolean): void => {
      socket.destroy()
      resolve(listening)
    }
    socket.once('connect', () => answer(true))
    socket.once('error', () => answer(false))
  })
}

/** Whether a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // The process has ended by itself, as intended.
  }
}

async function lastLine(file: string): Promise<string> {
  const lines = (await readFile(file, 'utf8')).trim().split('\n')
  return lines.at(-1) ?? 'it ended at once'
}
