/**
 * `scripts/node dist/bench/content.js [--mib N] [--rounds N] [--read-kib N] [--random N]
 * [--profile DIR]`
 *
 * Measures the path of a file's bytes without the kernel. A client in this process writes a draft, as the mount does,
 * to four servers started for it, and reads it sequentially and at random. For each step it prints the speed and, because
 * all processes share few processors, the processor time in ms that a MiB took in the client and in all servers
 * together, as user and as system time. Processor time shows the effect of a change also on a machine that does other
 * work, where the time by the clock does not.
 */
import { readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { Semaphore } from '../src/async/semaphore.js'
import { systemClock, systemRandom } from '../src/clock.js'
import { loadClientConfig } from '../src/config.js'
import { Client } from '../src/dfc/client.js'
import { type Content, emptyContent } from '../src/dfc/content/content.js'
import { ThreadDigests } from '../src/dfc/content/thread-digests.js'
import { ChunkPool } from '../src/fuse/draft/chunk-pool.js'
import { Draft } from '../src/fuse/draft/draft.js'
import { SpillSpace } from '../src/fuse/draft/spill-file.js'
import { limits } from '../src/limits.js'
import { PageMemory } from '../src/memory/page-memory.js'
import { tcpNetwork } from '../src/network.js'
import { cleanUp, undoLater } from './clean-up.js'
import { Cluster, thisCheckout } from './cluster.js'
import { dropKernelCaches } from './place.js'
import { run } from './programs.js'

interface Options {
  readonly mib: string
  readonly rounds: string
  readonly readKib: string
  readonly random: string
  readonly profile?: string
}

/** Milliseconds of a processor, from proc(5). */
interface Used {
  readonly user: number
  readonly system: number
}

const MiB = 1024 * 1024
const tickMs = 10
const randomReadBytes = 4096
const options = new Command('content')
  .option('--mib <count>', 'of one file', '256')
  .option('--rounds <count>', 'how often', '3')
  .option('--read-kib <count>', 'of one read', '1024')
  .option('--random <count>', 'reads of 4 KiB anywhere', '2000')
  .option('--profile <dir>', 'CPU profiles of the servers')
  .parse()
  .opts<Options>()
const randomReads = Number(options.random)

try {
  await measure()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  process.exitCode = 1
}
await cleanUp()

async function measure(): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'dfs-bench-content-'))
  undoLater(async () => {
    await run('rm', ['-rf', '--one-file-system', home])
  })
  const cluster = await Cluster.startServers({
    home,
    profiles: options.profile,
    checkout: thisCheckout,
  })
  const config = await loadClientConfig(cluster.clientConfig, {})
  const bytes = Number(options.mib) * MiB
  const readBytes = Number(options.readKib) * 1024
  for (let round = 0; round < Number(options.rounds); round += 1) {
    const client = await open(config)
    const content = await report(cluster, 'write', bytes, () => write(client, home, bytes))
    await client.close()
    await dropKernelCaches(home)
    const reader = await open(config)
    await report(cluster, 'read', bytes, () => read(reader, content, readBytes))
    await reader.close()
    await dropKernelCaches(home)
    const jumper = await open(config)
    await report(cluster, `${randomReads} random reads`, randomReads * MiB, () =>
      jump(jumper, content),
    )
    await jumper.close()
  }
}

function open(config: Parameters<typeof Client.open>[0]['config']): Promise<Client> {
  const digests = new ThreadDigests()
  const system = { network: tcpNetwork, clock: systemClock, random: systemRandom }
  return Client.open({ config, digests, memory: new PageMemory(), ...system })
}

/** Writes in requests of 1 MiB one after the other, as the kernel does. */
async function write(client: Client, home: string, bytes: number): Promise<Content> {
  const tools = {
    content: client.content,
    random: systemRandom,
    pool: new ChunkPool(),
    spill: new SpillSpace(join(home, 'spill'), systemRandom),
    uploads: new Semaphore(limits.uploadsInFlightMax),
  }
  const source = systemRandom.bytes(MiB)
  const draft = new Draft(tools, emptyContent, systemClock.time())
  for (let at = 0; at < bytes; at += MiB) {
    await new Promise(setImmediate)
    await draft.write(at, Buffer.from(source))
  }
  const content = await draft.flatten()
  draft.release()
  return content
}

async function read(client: Client, content: Content, step: number): Promise<void> {
  const readAhead = client.content.readAhead()
  for (let at = 0; at < content.size; at += step) {
    readAhead.note(content, at, step)
    const { release } = await client.content.readLent(content, at, step)
    release()
    await new Promise(setImmediate)
  }
  readAhead.close()
}

async function jump(client: Client, content: Content): Promise<void> {
  for (let count = 0; count < randomReads; count += 1) {
    const block = Math.floor(Math.random() * (content.size / randomReadBytes))
    await client.content.read(content, block * randomReadBytes, randomReadBytes)
  }
}

/** Runs `action`, which transfers `bytes` bytes, and prints its cost. */
async function report<T>(
  cluster: Cluster,
  name: string,
  bytes: number,
  action: () => Promise<T>,
): Promise<T> {
  const pids = cluster.serverProcesses
  const startMs = performance.now()
  const own = usedBy([process.pid])
  const theirs = usedBy(pids)
  const result = await action()
  const seconds = (performance.now() - startMs) / 1000
  const mib = bytes / MiB
  const each = (before: Used, now: Used): string => {
    const user = (now.user - before.user) / mib
    const system = (now.system - before.system) / mib
    return `${user.toFixed(2)} + ${system.toFixed(2)}`
  }
  const memory = [process.pid, ...pids].map((pid) => peakOf(pid)).join(' ')
  process.stdout.write(
    `${name.padEnd(20)} ${(mib / seconds).toFixed(0).padStart(6)}/s; ms each: ` +
      `client ${each(own, usedBy([process.pid]))}, servers ${each(theirs, usedBy(pids))}; ` +
      `MiB at most: ${memory}\n`,
  )
  return result
}

function usedBy(pids: readonly number[]): Used {
  let user = 0
  let system = 0
  for (const pid of pids) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    user += Number(fields[11]) * tickMs
    system += Number(fields[12]) * tickMs
  }
  return { user, system }
}

function peakOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/^VmHWM:\s*(\d+) kB/m.exec(text)?.[1]) / 1024)
}
