/**
 * The four servers of a cluster on this machine: starts them or finds them running, restarts one that dies, and stops
 * them when the last mount that uses them ends. They go on when the mount is killed, and the next mount finds them.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { makePrivateFolder } from '../../private-file.js'
import { LocalServer } from './local-server.js'
import { oneAtATime } from './one-at-a-time.js'

export interface LocalServersOptions {
  /** Absolute path of each server's folder. */
  readonly folders: readonly string[]
  /** First ports to try, in this order: the next when another program has one of the four. */
  readonly firstPorts: readonly number[]
  /** Folder for process ids, logs, and the list of mounts that use the servers. */
  readonly runFolder: string
  /** Path of the servers' configuration, which is created if missing. */
  readonly serverFile: (firstPort: number) => Promise<string>
}

/** Time in ms that another mount needs at most to start or stop four servers. */
const patienceMs = 60_000

export class LocalServers {
  readonly #servers: readonly LocalServer[]
  readonly #runFolder: string
  readonly firstPort: number

  private constructor(servers: readonly LocalServer[], runFolder: string, firstPort: number) {
    this.#servers = servers
    this.#runFolder = runFolder
    this.firstPort = firstPort
  }

  /**
   * Starts the servers. Resolves when all four listen. Mounts that begin or end at once take turns. Throws `busy` when
   * other programs use some of the ports, whichever the first one is.
   */
  static async start(options: LocalServersOptions): Promise<LocalServers> {
    makePrivateFolder(options.runFolder)
    await chmod(options.runFolder, 0o700)
    return oneAtATime(options.runFolder, patienceMs, () => LocalServers.#start(options))
  }

  static async #start(options: LocalServersOptions): Promise<LocalServers> {
    let taken: DfsError | undefined
    for (const firstPort of options.firstPorts) {
      try {
        return await LocalServers.#startAt(firstPort, options)
      } catch (error) {
        if (!isError(error, 'busy')) throw error
        taken ??= error
      }
    }
    assert(taken !== undefined, 'there is a port to begin with')
    throw taken
  }

  static async #startAt(firstPort: number, options: LocalServersOptions): Promise<LocalServers> {
    const { folders, runFolder } = options
    const serverFile = await options.serverFile(firstPort)
    const servers = folders.map(
      (folder, index) =>
        new LocalServer({
          name: `DFS${index + 1}`,
          folder,
          port: firstPort + index,
          runFolder,
          serverFile,
        }),
    )
    const all = new LocalServers(servers, runFolder, firstPort)
    await writeFile(join(runFolder, `mount-${process.pid}`), '')
    const outcomes = await Promise.allSettled(servers.map((server) => server.start()))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) {
      await all.#stop()
      throw failed.reason
    }
    return all
  }

  /** Process id of the first server, for trying out its death. */
  get firstPid(): number | undefined {
    return this.#servers[0]?.pid
  }

  /** Stops the servers, unless another mount uses them. */
  async stop(): Promise<void> {
    await oneAtATime(this.#runFolder, patienceMs, () => this.#stop())
  }

  async #stop(): Promise<void> {
    await rm(join(this.#runFolder, `mount-${process.pid}`), { force: true })
    const shared = await hasOtherUsers(this.#runFolder)
    await Promise.all(this.#servers.map((server) => (shared ? server.leave() : server.stop())))
  }
}

/**
 * The four server folders: below the single given one, or the four given ones. Throws `configuration` for another
 * number.
 */
export function serverFolders(given: readonly string[]): readonly string[] {
  const [only] = given
  if (given.length === 1 && only !== undefined) {
    return Array.from({ length: limits.serverCount }, (_, i) => join(only, `DFS${i + 1}`))
  }
  if (given.length === limits.serverCount) return given
  throw new DfsError(
    'configuration',
    `--local takes no folder, one, or four (one for each server), not ${given.length}`,
  )
}

async function hasOtherUsers(runFolder: string): Promise<boolean> {
  // Servers whose folder was removed have no list of users, and need not go on.
  const names = existsSync(runFolder) ? await readdir(runFolder) : []
  const pids = names.flatMap((name) => {
    const match = /^mount-(\d+)$/.exec(name)
    return match === null ? [] : [Number(match[1])]
  })
  const alive = await Promise.all(pids.map(isMount))
  return alive.includes(true)
}

/** Whether the process is a mount that uses the servers: process ids are used again. */
async function isMount(pid: number): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return pid !== process.pid && command.includes('fuse/main')
}
