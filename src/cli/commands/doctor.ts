/** DOCTOR: collects what helps to find a fault in one archive, without secrets. Works also when nothing else does. */
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { packTar } from 'modern-tar'
import type { Client } from '../../dfc/client.js'
import { sentenceOf } from '../../error-message.js'
import { DfsError } from '../../errors.js'
import type { Status } from '../session.js'
import { sizeText } from '../terminal/format.js'
import type { Output } from '../terminal/output.js'
import type { Command, Start } from './command.js'
import { type Part, partsOf } from './doctor-parts.js'
import { statusObject } from './status.js'

export const doctor: Command = {
  name: 'doctor',
  operands: '[FILE]',
  operandsMin: 0,
  operandsMax: 1,
  summary: 'collect in one archive what helps to find a fault, without secrets',
  details: [
    'The archive contains the configurations without passwords, verifiers and keys, the status, the logs of',
    'mounts and of local servers, versions, metrics, the counters of mounts, and what mounts could not do. Logs',
    'may contain file names: look before you send it.',
  ].join(' '),
  options: [],
  completes: ['local'],

  run: ({ client: { cluster }, configFile, output }, operands) =>
    collect(output, operands, () => {
      return partsOf(configFile, () => statusObject(cluster), cluster.config.password)
    }),
  runWithoutLogin: ({ configFile, output, openClient, ...start }, operands) =>
    collect(output, operands, () => {
      return partsOf(configFile, () => statusWith(openClient), passwordIn(start))
    }),
}

async function statusWith(openClient: () => Promise<Client>): Promise<object> {
  const client = await openClient()
  try {
    return await statusObject(client.cluster)
  } finally {
    await client.close()
  }
}

/** The password, wherever it comes from, as far as that can be read. */
function passwordIn(
  start: Pick<Start, 'loadConfig' | 'passwordOfEnvironment'>,
): string | undefined {
  try {
    return start.loadConfig().password
  } catch {
    return start.passwordOfEnvironment
  }
}

async function collect(
  output: Output,
  [given]: readonly string[],
  partsNow: () => Promise<readonly Part[]>,
): Promise<Status> {
  const now = new Date()
  const stem = `dfs-doctor-${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}`
  const path = resolve(given ?? `${stem}.tar.gz`)
  const parts = await partsNow()
  const archive = await promisify(gzip)(await packed(stem, parts, now))
  try {
    // Never one that is there already, and never through a link.
    writeFileSync(path, archive, { flag: 'wx', mode: 0o600 })
  } catch (cause) {
    throw new DfsError('io', `${path}: cannot write it: ${sentenceOf(cause)}`, { cause })
  }
  output.print(`Wrote ${output.name(path)}, ${sizeText(archive.length)}:`)
  for (const { name, text } of parts)
    output.print(`  ${output.name(name)}, ${sizeText(text.length)}`)
  output.print(
    'Passwords, verifiers and keys are not in it. Logs may contain file names: look before you send it.',
  )
  return 0
}

function packed(folder: string, parts: readonly Part[], mtime: Date): Promise<Uint8Array> {
  return packTar(
    parts.map(({ name, text }) => {
      const body = Buffer.from(text)
      return { header: { name: `${folder}/${name}`, size: body.length, mode: 0o600, mtime }, body }
    }),
  )
}
