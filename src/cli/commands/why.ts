/**
 * WHY: tells why a file is incomplete and what failed of it, from the servers and from the mounts of this user on this
 * machine. A path in such a mount needs no login: the mount is asked alone.
 */
import { lstat } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { awayServers } from '../../dfc/cluster/away-servers.js'
import { whyIncomplete } from '../../dfc/repair/why-incomplete.js'
import { DfsError } from '../../errors.js'
import type { ControlRequest } from '../../mount-control.js'
import { type NotedFailure, type Why, whyText } from '../../noted-failure.js'
import { rootIno } from '../../wire/records.js'
import { deviceText, isMount } from '../mounted-folders.js'
import { askMounts } from '../mounts.js'
import { findPath } from '../paths/remote-path.js'
import { forEach, type Session, type Status } from '../session.js'
import type { Output } from '../terminal/output.js'
import type { Command, Options } from './command.js'

export const why: Command = {
  name: 'why',
  operands: '[FILE]',
  operandsMin: 0,
  operandsMax: 1,
  summary: 'explain why a file is incomplete, or why a mount could not read or store it',
  details: [
    'FILE is a name on the servers, or an absolute path in a mount of this user. Without FILE it lists all',
    'failures. A mount remembers its failures until it ends. Exits with 0 when there is nothing to tell, with 1',
    'when there is something.',
  ].join(' '),
  options: [['--json', 'print a JSON object']],
  completes: ['remote'],

  async run(session, [file = '/'], options) {
    const local = await inMount(file)
    if (local !== undefined) return tell(session.output, local, options)
    let status: Status = 0
    const failed = await forEach(session, [file], async () => {
      status = tell(session.output, await ofName(session, file), options)
    })
    return failed || status
  },

  async runWithoutLogin({ output }, [file = '/'], options) {
    const local = await inMount(file)
    return local && tell(output, local, options)
  },
}

function tell(output: Output, answer: Why, { json }: Options): Status {
  const isNothing = answer.now.length + answer.failures.length === 0
  if (json) output.print(JSON.stringify(answer, undefined, 2))
  else if (isNothing) output.print('Nothing is wrong with it, and no mount remembers a failure')
  else output.print(whyText(answer))
  return isNothing ? 0 : 1
}

/** Asks the mount in which a local path lies; undefined for what is no path in a mount. */
async function inMount(path: string): Promise<Why | undefined> {
  if (!isAbsolute(path)) return undefined
  const found = await lstat(path, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOTCONN')
      throw new DfsError('down', 'the mount there has died: mount again')
    return undefined
  })
  if (found === undefined) return undefined
  const device = deviceText(found.dev)
  const [answer] = await whysOf({ verb: 'why', ino: Number(found.ino), device })
  if (answer === undefined && isMount(device)) {
    throw new DfsError(
      'access',
      'the mount there does not answer: only the user who mounted it may ask',
    )
  }
  return answer
}

async function whysOf(request: ControlRequest): Promise<readonly Why[]> {
  return (await askMounts(request)).flatMap(({ why: answer }) => answer ?? [])
}

/** Asks the servers about a name, and the mounts of the account on this machine about its failures. */
async function ofName({ client }: Session, name: string): Promise<Why> {
  const { cluster, namespace } = client
  const { ino, inode } = await findPath(namespace, name)
  const asked = { verb: 'why', ino, user: cluster.config.user } as const
  const answers = await whysOf(cluster.id === undefined ? asked : { ...asked, cluster: cluster.id })
  const now = ino === rootIno ? awayTexts(client) : await whyIncomplete(cluster, inode)
  const failures = answers.flatMap((answer) => answer.failures)
  return { now, failures: failures.sort(byTime) }
}

const byTime = (one: NotedFailure, other: NotedFailure): number => one.lastMs - other.lastMs

function awayTexts({ cluster }: Session['client']): string[] {
  return awayServers(cluster).map(({ name, why: reason }) => `${name} is not there: ${reason}`)
}
