/**
 * The life of a mount: connects to the servers, mounts, and at the end stores everything first, whatever the cause.
 * `unmount` is refused while the mount is in use; a signal is not.
 */
import { systemClock, systemRandom } from '../../clock.js'
import { type ClientConfig, tlsRemark } from '../../config.js'
import type { Client, ClientOptions } from '../../dfc/client.js'
import { serverKeysFile } from '../../dfc/cluster/server-keys.js'
import { ThreadDigests } from '../../dfc/content/thread-digests.js'
import type { ClientFigures } from '../../dfc/figures.js'
import { asDfsError, DfsError } from '../../errors.js'
import { debugFuse, notice } from '../../log.js'
import { PageMemory } from '../../memory/page-memory.js'
import type { MetricsListener } from '../../metrics.js'
import type { MetricsAddress } from '../../metrics-address.js'
import type { MountCounters, MountFigures } from '../../mount-figures.js'
import { tcpNetwork } from '../../network.js'
import type { Why } from '../../noted-failure.js'
import { journalFolder } from '../../state-home.js'
import { rootIno } from '../../wire/records.js'
import { Activity } from '../mount/activity.js'
import { Mount } from '../mount/mount.js'
import type { MountWords } from '../mount/mount-options.js'
import { Filesystem } from '../vfs/filesystem.js'
import { LastFailures } from '../vfs/last-failures.js'
import { RecoveryFolder } from '../vfs/recovery-folder.js'
import { Control, type WhyRequest } from './control.js'
import { FileJournal } from './journal-file.js'
import { mountMetrics } from './mount-metrics.js'
import { openClient } from './open-client.js'
import { makeStateFolder, type StateFolder } from './state-folder.js'

export interface DaemonOptions {
  /** Absolute path. */
  readonly mountpoint: string
  readonly config: ClientConfig
  /** Reads the configuration again: another password or address of a server takes effect without a remount. */
  readonly configNow: () => ClientConfig
  readonly words: MountWords
  readonly state: StateFolder
  /** Where to listen for whoever reads metrics; in the place of what the configuration says. */
  readonly metrics?: MetricsAddress | undefined
  /** Called with what is waited for, where `words` ask to wait for servers. */
  readonly waiting: (line: string) => void
  /** Ends that wait. */
  readonly ended: AbortSignal
}

const lastWordsMs = 10_000
const commitEveryMs = 5_000

export class Daemon {
  readonly #options: DaemonOptions
  readonly #client: Client
  readonly #filesystem: Filesystem
  readonly #activity = new Activity()
  #metrics: MetricsListener | undefined
  readonly #ended = Promise.withResolvers<void>()
  #mount: Mount | undefined
  #commits: NodeJS.Timeout | undefined
  #control: Control | undefined
  #finishing: Promise<void> | undefined

  private constructor(
    options: DaemonOptions,
    client: Client,
    recovery: RecoveryFolder,
    failures: LastFailures,
  ) {
    this.#options = options
    this.#client = client
    const { state, words } = options
    this.#filesystem = new Filesystem({
      client,
      clock: client.cluster.clock,
      random: systemRandom,
      acl: words.acl,
      noAtime: words.noAtime === true || words.readOnly === true,
      sync: words.sync === true,
      spillFolder: state.spill,
      recovery,
      failures,
    })
  }

  /** Resolves when the mount is usable. Throws a DfsError whose message says what to do. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    await makeStateFolder(options.state)
    const remark = tlsRemark(options.config)
    if (remark !== undefined) notice(remark, 'warning')
    const failures = new LastFailures(systemClock)
    const recovery = new RecoveryFolder(
      options.config.recovery ?? options.state.recovery,
      systemClock,
      failures,
    )
    const clientOptions = {
      config: options.config,
      configNow: options.configNow,
      serverKeysFile: serverKeysFile(),
      network: tcpNetwork,
      clock: systemClock,
      random: systemRandom,
      lease: true,
      dirSync: options.words.dirSync || options.words.sync === true,
      log: {
        openJournal: (cluster: string, user: string) =>
          new FileJournal(journalFolder(cluster, user)),
        keepContent: recovery.keepContent.bind(recovery),
      },
      digests: new ThreadDigests(),
      memory: new PageMemory(),
    } satisfies ClientOptions
    const { words, waiting, ended } = options
    const client = await openClient(clientOptions, { waitMs: words.waitMs, waiting, ended })
    const daemon = new Daemon(options, client, recovery, failures)
    try {
      await daemon.#begin()
      return daemon
    } catch (error) {
      await daemon.#finish()
      throw error
    }
  }

  /** Resolves when the mount has ended and everything is stored. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  /** Resolves when the process that asked for the end has its answer. */
  async answered(): Promise<void> {
    await this.#control?.answered()
  }

  /**
   * Stores everything and unmounts. Throws `busy`, and goes on, when the mount is in use. Where the file system is
   * mounted elsewhere as well, it goes on there, and this resolves with a sentence that says so.
   */
  async unmount(): Promise<string | undefined> {
    const unsaved = await this.#filesystem.commitAll()
    if (unsaved.length > 0) {
      const names = unsaved.map(({ name }) => `"${name}"`).join(', ')
      throw new DfsError('busy', `not everything could be stored yet, so the mount stays: ${names}`)
    }
    await this.#client.namespace.settle().catch((cause: unknown) => {
      const why = asDfsError(cause).message
      throw new DfsError('busy', `not everything could be stored yet, so the mount stays: ${why}`, {
        cause,
      })
    })
    if ((await this.#mount?.unmount()) === false) {
      // Another daemon may mount here from now on, and listen.
      await this.#control?.close()
      return `${this.#options.mountpoint} is unmounted; the file system stays mounted elsewhere`
    }
    await this.#finish()
    return undefined
  }

  /** Stores what can be stored, and ends whether the mount is in use or not. */
  async stop(): Promise<void> {
    await this.#filesystem.commitAll()
    await this.#finish()
  }

  /** Ends after a bug: stores what can be stored within a moment. */
  async giveUp(): Promise<void> {
    await Promise.race([
      this.stop().catch((error: unknown) => debugFuse('giving up: %o', error)),
      new Promise((resolve) => setTimeout(resolve, lastWordsMs)),
    ])
  }

  async #begin(): Promise<void> {
    const { mountpoint, words, config, state } = this.#options
    await this.#assertReadable()
    this.#mount = await Mount.start({
      mountpoint,
      filesystem: this.#filesystem,
      activity: this.#activity,
      words,
      fsname: words.fsname ?? `dfs:${config.user}`,
      onEnd: () => {
        notice(`${mountpoint} was unmounted`)
        // A failure is reported by `#finish` itself.
        void this.#finish()
      },
    })
    this.#client.scheduler.start()
    // A failure is retried, and reported to the program at its next fsync or close.
    this.#commits = setInterval(() => void this.#filesystem.commitDue(), commitEveryMs)
    this.#control = await Control.start(state.path, {
      unmount: async () => ({ remark: await this.unmount() }),
      status: async () => ({}),
      why: async (asked) => ({ why: await this.#why(asked) }),
      figures: async () => ({ figures: this.#figures }),
    })
    await this.#serveMetrics()
  }

  get #figures(): MountFigures<ClientFigures> {
    return { ...this.#counters, programs: this.#activity.programs }
  }

  /** Returns the counters of this mount, but for those of each program. */
  get #counters(): MountCounters<ClientFigures> {
    const { read: readBytes, written: writtenBytes } = this.#activity.bytes
    return {
      mountpoint: this.#options.mountpoint,
      pid: process.pid,
      atMs: this.#client.cluster.clock.monotonic(),
      client: this.#client.figures,
      operations: this.#activity.operations,
      errnos: this.#activity.errnos,
      readBytes,
      writtenBytes,
    }
  }

  async #serveMetrics(): Promise<void> {
    const address = this.#options.metrics ?? this.#options.config.metrics
    if (address === undefined) return
    // What takes a moment to load is loaded by those alone that want it.
    const { MetricsListener } = await import('../../metrics.js')
    this.#metrics = await MetricsListener.start(address, mountMetrics, () => this.#counters)
  }

  /** Says why an inode of this mount is in trouble. Throws `notFound` when another mount or account is meant. */
  async #why({ ino, device, cluster, user }: WhyRequest): Promise<Why> {
    const isMeant =
      (device === undefined || device === this.#mount?.device) &&
      (cluster === undefined || cluster === this.#client.cluster.id) &&
      (user === undefined || user === this.#options.config.user)
    if (!isMeant) throw new DfsError('notFound', 'this is another mount')
    return (await this.#filesystem.reasons.of(ino)) ?? { now: [], failures: [] }
  }

  /** Throws when the root cannot be read: such a mount would seem to hang. */
  async #assertReadable(): Promise<void> {
    try {
      await this.#client.namespace.names.node(rootIno, true)
    } catch (cause) {
      const { links } = this.#client.cluster
      const down = links.flatMap(({ failure }) => (failure === undefined ? [] : [failure.message]))
      const why = down.length === 0 ? '' : `: ${down[0]}`
      throw new DfsError('io', `${asDfsError(cause).message}${why}`, { cause })
    }
  }

  #finish(): Promise<void> {
    this.#finishing ??= this.#wind().then(this.#ended.resolve, (error: unknown) => {
      notice(`Unmount failed: ${asDfsError(error).message}`, 'error')
      this.#ended.resolve()
    })
    return this.#finishing
  }

  async #wind(): Promise<void> {
    clearInterval(this.#commits)
    this.#metrics?.close()
    await this.#mount?.detach()
    await this.#filesystem.abandonAll()
    await this.#client.close()
    await this.#control?.close()
  }
}
