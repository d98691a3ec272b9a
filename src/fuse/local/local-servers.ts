/**
 * The four servers of a cluster on this machine: starts them or finds them running, starts one again
 * that dies, and stops them when the last mount that uses them ends. They live on when the mount is
 * killed, and the next mount finds them.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { LocalServer } from './local-server.js'
import { oneAtATime } from './one-at-a-time.js'

export interface LocalServersOptions {
  /** One for each server, absolute. */
  readonly folders: readonly string[]
  readonly firstPort: number
  /** Where process ids and logs are kept, and who uses the servers. */
  readonly runFolder: string
  /** Says who may log in; it need not be there before. */
  readonly serverFile: () => Promise<string>
}

/** Longer than it takes another mount to start four servers, or to stop them. */
const patienceMs = 60_000

export class LocalServers {
  readonly #servers: readonly LocalServer[]
  readonly #runFolder: string

  private constructor(servers: readonly LocalServer[], runFolder: string) {
    this.#servers = servers
    this.#runFolder = runFolder
  }

  /**
   * Resolves when all four listen; of several mounts that begin or end at once, one after the other.
   * Throws `configuration` when a port is taken by something else.
   */
  static async start(options: LocalServersOptions): Promise<LocalServers> {
    await mkdir(options.runFolder, { recursive: true, mode: 0o700 })
    return oneAtATime(options.runFolder, patienceMs, () => LocalServers.#start(options))
  }

  static async #start(options: LocalServersOptions): Promise<LocalServers> {
    const { folders, firstPort, runFolder } = options
    const serverFile = await options.serverFile()
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
    const all = new LocalServers(servers, runFolder)
    await writeFile(join(runFolder, `mount-${process.pid}`), '')
    const outcomes = await Promise.allSettled(servers.map((server) => server.start()))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) {
      await all.#stop()
      throw failed.reason
    }
    return all
  }

  /** The process of the first server: for people who want to see it die. */
  get firstPid(): number | undefined {
    return this.#servers[0]?.pid
  }

  /** Stops the servers, unless another mount uses them, too. */
  async stop(): Promise<void> {
    await oneAtATime(this.#runFolder, patienceMs, () => this.#stop())
  }

  async #stop(): Promise<void> {
    await rm(join(this.#runFolder, `mount-${process.pid}`), { force: true })
    const shared = await hasOtherUsers(this.#runFolder)
    await Promise.all(this.#servers.map((server) => (shared ? server.leave() : server.stop())))
  }
}

/** The four folders below one, or four that were given. Throws `configuration` for another number. */
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
  const pids = (await readdir(runFolder)).flatMap((name) => {
    const match = /^mount-(\d+)$/.exec(name)
    return match === null ? [] : [Number(match[1])]
  })
  const alive = await Promise.all(pids.map(isMount))
  return alive.includes(true)
}

/** Process ids are used again: only a process that is such a mount counts. */
async function isMount(pid: number): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return pid !== process.pid && command.includes('fuse/main')
}
