/** The parts of the archive of DOCTOR. What cannot be had is there as the reason why not. */
import { execFile } from 'node:child_process'
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
} from 'node:fs'
import { version as kernelVersion, release } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { sentenceOf } from '../../error-message.js'
import { limits } from '../../limits.js'
import { type MetricsAddress, parseMetricsAddress } from '../../metrics-address.js'
import { stateFolders } from '../../mount-control.js'
import { readNamedFile } from '../../named-file.js'
import { addressText } from '../../network.js'
import { whyText } from '../../noted-failure.js'
import { dataHome, stateHome } from '../../state-home.js'
import { isLoopback } from '../../tls.js'
import { parseToml } from '../../toml.js'
import { version } from '../../version.js'
import { protocolVersions, versionsText } from '../../wire/protocol-versions.js'
import { rootIno } from '../../wire/records.js'
import { askMounts, figuresOfMounts } from '../mounts.js'
import { redactedConfig, withoutSecrets } from './redaction.js'

export interface Part {
  readonly name: string
  readonly text: string
}

interface ConfigPart extends Part {
  readonly secrets: readonly string[]
  /** Where metrics are, if the file names an address. */
  readonly metrics: MetricsAddress | undefined
}

const askedMs = 3_000
const journalLines = 2_000
/** Bytes of a line of the journal, on average: with longer lines the journal is left out. */
const journalLineBytesMax = 4_096

/**
 * Collects the parts, and removes from all of them every secret that is in one of the configurations, and the password,
 * which may be from elsewhere.
 */
export async function partsOf(
  configFile: string,
  status: () => Promise<object>,
  password: string | undefined,
): Promise<readonly Part[]> {
  const configs = configFiles(configFile).flatMap(configPart)
  const parts = [
    await part('versions.txt', versions),
    ...configs,
    await part('status.json', async () => `${JSON.stringify(await status(), undefined, 2)}\n`),
    await part('failures.txt', failures),
    await part('mounts.txt', mounts),
    await part('figures.json', async () => {
      return `${JSON.stringify(await figuresOfMounts(), undefined, 2)}\n`
    }),
    ...logParts(),
    ...(await journalParts()),
    ...(await metricsParts(configs)),
  ]
  const secrets = configs.flatMap((config) => config.secrets)
  if (password !== undefined) secrets.push(password)
  return parts.map(({ name, text }) => ({ name, text: withoutSecrets(text, secrets) }))
}

async function part(name: string, textOf: () => Promise<string>): Promise<Part> {
  try {
    return { name, text: await textOf() }
  } catch (error) {
    return { name, text: `not there: ${sentenceOf(error)}\n` }
  }
}

async function versions(): Promise<string> {
  const fusermount = await promisify(execFile)('fusermount3', ['--version'], { timeout: askedMs })
    .then(({ stdout }) => stdout.trim())
    .catch((error: unknown) => `fusermount3 cannot be run: ${sentenceOf(error)}`)
  const lines = [
    `time ${new Date().toISOString()}`,
    `dfs-pairs ${version}, protocol ${versionsText(protocolVersions)}`,
    `node ${process.version} ${process.arch}`,
    `kernel ${release()} ${kernelVersion()}`,
    fusermount,
  ]
  return `${lines.join('\n')}\n`
}

// -- configurations ------------------------------------------------------------------------------

/** Places of configurations: that of the client, and those of servers that may be on this machine. */
function configFiles(configFile: string): readonly string[] {
  const local = dataHome()
  const folders = [dirname(configFile), '/etc/dfs', local]
  const files = [
    configFile,
    join(local, 'dfc.conf'),
    ...folders.map((folder) => join(folder, 'dfs.conf')),
  ]
  return [...new Set(files.map((file) => resolve(file)))]
}

function configPart(file: string): ConfigPart[] {
  const name = `config${file}`
  try {
    const text = readNamedFile(file)
    return [{ name, ...redactedConfig(text, file), metrics: metricsIn(text, file) }]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    const reason = `cannot be read: ${sentenceOf(error)}\n`
    return [{ name, text: reason, secrets: [], metrics: undefined }]
  }
}

function metricsIn(text: string, file: string): MetricsAddress | undefined {
  try {
    const { metrics } = parseToml(text, file).root
    return typeof metrics === 'string' ? parseMetricsAddress(metrics) : undefined
  } catch {
    return undefined
  }
}

// -- what runs -----------------------------------------------------------------------------------

async function failures(): Promise<string> {
  const answers = await askMounts({ verb: 'why', ino: rootIno })
  const texts = answers.flatMap(({ why }) => (why === undefined ? [] : [`${whyText(why)}\n`]))
  return `${texts.length} mounts answer\n${texts.join('')}`
}

async function mounts(): Promise<string> {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  return lines.flatMap((line) => (line.includes(' - fuse.dfs ') ? [`${line}\n`] : [])).join('')
}

/** Only of this machine: an archive must not be a way to ask others. */
async function metricsParts(configs: readonly ConfigPart[]): Promise<readonly Part[]> {
  const found = configs.flatMap(({ metrics }) => metrics ?? [])
  const addresses = new Map(found.map((address) => [addressText(address), address]))
  return Promise.all(
    [...addresses].map(([text, { host }]) =>
      part(`metrics-${text.replaceAll(/[^\w.]/g, '_')}.txt`, async () => {
        if (!isLoopback(host)) return `${text} is not on this machine\n`
        const signal = AbortSignal.timeout(askedMs)
        const answer = await fetch(`http://${text}/metrics`, { signal, redirect: 'error' })
        return (await answer.text()).slice(0, limits.doctorLogBytesMax)
      }),
    ),
  )
}

// -- logs ----------------------------------------------------------------------------------------

/** The ends of the logs of mounts, and of the servers of `dfs-mount --local`. */
function logParts(): readonly Part[] {
  const home = stateHome()
  const run = join(dataHome(), 'run')
  // One that was set aside a moment ago has all of the lines.
  const ofMounts = stateFolders(home).flatMap((name) =>
    ['', '.1'].map((age) => [`logs/${name}.log${age}`, join(home, name, `log${age}`)] as const),
  )
  const ofServers = namesIn(run)
    .filter((name) => /\.log(\.\d+)?$/.test(name))
    .map((name) => [`logs/local-${name}`, join(run, name)] as const)
  return [...ofMounts, ...ofServers].flatMap(([name, file]) => {
    try {
      return [{ name, text: endOf(file) }]
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      return [{ name, text: `cannot be read: ${sentenceOf(error)}\n` }]
    }
  })
}

/** The last lines of servers and mounts in the journal of systemd, with their times. */
async function journalParts(): Promise<readonly Part[]> {
  if (!existsSync('/run/systemd/system')) return []
  const format = ['--quiet', '--no-pager', '--output=short-iso', `--lines=${journalLines}`]
  const ours = ['_COMM=dfs-server', '+', '_COMM=dfs-mount']
  const how = { timeout: askedMs, maxBuffer: journalLines * journalLineBytesMax }
  const textOf = async (): Promise<string> =>
    (await promisify(execFile)('journalctl', [...format, ...ours], how)).stdout.slice(
      -limits.doctorLogBytesMax,
    )
  return [await part('logs/journal.txt', textOf)]
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** The last whole lines of a file, as many as there is room for. */
function endOf(file: string): string {
  const descriptor = openSync(file, 'r')
  try {
    const { size } = fstatSync(descriptor)
    const bytes = Buffer.alloc(Math.min(size, limits.doctorLogBytesMax))
    const length = readSync(descriptor, bytes, 0, bytes.length, size - bytes.length)
    const text = bytes.subarray(0, length).toString()
    return size <= limits.doctorLogBytesMax ? text : text.slice(text.indexOf('\n') + 1)
  } finally {
    closeSync(descriptor)
  }
}
