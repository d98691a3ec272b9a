/** Guides the replacement of a server's disk, from the check whether it may be taken down until it is complete again. */

import { sleep } from '../../clock.js'
import { usesTls } from '../../config.js'
import type { Cluster } from '../../dfc/cluster/cluster.js'
import { countOf, type Lack, lackOf } from '../../dfc/repair/missing.js'
import { sentenceOf } from '../../error-message.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { addressText } from '../../network.js'
import type { Reply } from '../../wire/messages.js'
import type { NamedServer } from '../named-server.js'
import type { Session } from '../session.js'
import { countTexts } from '../terminal/format.js'
import { StatusLine } from '../terminal/status-line.js'
import { describeProgress } from './heal.js'
import { trustShownKey } from './trust.js'

interface How {
  /** Goes on although the other servers are not complete. */
  readonly isForced: boolean
  /** How long it may take, in ms. */
  readonly waitMs: number
}

/** Resolves when the server with the new disk is complete. Throws when it must not begin, or is not done in time. */
export async function replaceServer(
  session: Session,
  named: NamedServer,
  { isForced, waitMs }: How,
): Promise<void> {
  const { output } = session
  const { cluster } = session.client
  const { name } = named.server
  const reasons = await reasonsAgainst(cluster, named.index)
  if (reasons.length > 0 && !isForced) {
    throw new DfsError(
      'invalid',
      `${name} must not be taken down now, data could be lost: ${reasons.join('; ')}. "dfc heal" completes them; --force goes on all the same`,
    )
  }
  if (reasons.length > 0) output.problem(`going on although ${reasons.join('; ')}`)
  else output.print('The three other servers are complete.')
  const deadlineMs = cluster.clock.monotonic() + waitMs
  const line = new StatusLine(output)
  try {
    output.print(await untilReplaced(session, named, line, deadlineMs))
    await untilComplete(session, named, line, deadlineMs)
  } finally {
    line.stop()
  }
  output.print(`${name} is complete, and so are the others: the next server may be taken down.`)
}

/** Why the server at `index` must not lose its data now; nothing when the three others have everything. */
async function reasonsAgainst(cluster: Cluster, index: number): Promise<readonly string[]> {
  await cluster.refreshBlank()
  const others = cluster.links.filter((link) => link.index !== index)
  const away = others.filter((link) => !cluster.voters.includes(link.index))
  if (away.length > 0) return away.map(({ name }) => `${name} is not there, or not filled yet`)
  const lack = await lackOf(cluster)
  return others.flatMap((link) => {
    const { registers = 0, pieces = 0 } = lack.missing.get(link.index) ?? {}
    const texts = countTexts([
      [registers, 'registers'],
      [pieces, 'pieces'],
    ])
    return texts.length === 0 ? [] : [`${link.name} misses ${texts.join(' and ')}`]
  })
}

/**
 * Resolves when the server is there with another disk than now, or has come back, with a sentence about it. Trusts its
 * new key.
 */
async function untilReplaced(
  session: Session,
  named: NamedServer,
  line: StatusLine,
  deadlineMs: number,
): Promise<string> {
  const { output } = session
  const { cluster } = session.client
  const link = cluster.link(named.index)
  const { name } = named.server
  const before = cluster.voters.includes(named.index)
    ? (await statusOf(cluster, named.index)).stamp.incarnation
    : undefined
  if (before !== undefined) {
    output.print(
      `Stop ${name} now, replace its disk, and start dfs-server with the empty folder at ${addressText(link.server.address)}.`,
    )
  } else if (!link.isUp) {
    output.print(
      `Start dfs-server with the empty folder of ${name} at ${addressText(link.server.address)}.`,
    )
  }
  let told = ''
  let refusal: DfsError | undefined
  let toldOthers = othersAway(cluster, named.index)
  for (;;) {
    await pause(session, deadlineMs, `${name} has no new disk yet`)
    const others = othersAway(cluster, named.index)
    if (others !== '' && others !== toldOthers) {
      output.problem(
        `${name} is the server to replace, but ${others} does not vote now: first start it with its old data`,
      )
    }
    toldOthers = others
    if (link.failure?.code === 'untrusted' && isTrustable(session, named)) {
      // The refusal stays until the link has tried again with the key that is trusted now.
      const isNews = link.failure !== refusal
      refusal = link.failure
      if (isNews) await trustShownKey(cluster.config, output, named)
      continue
    }
    const why = link.failure === undefined ? '' : link.failure.message
    if (why !== '' && why !== told && link.failure?.code !== 'down') output.print(`${name}: ${why}`)
    told = why
    line.show(why === '' ? `waiting for the new disk of ${name}` : `waiting: ${name}: ${why}`)
    if (!link.isUp) continue
    const reply = await statusOf(cluster, named.index).catch(() => undefined)
    if (reply === undefined || reply.stamp.incarnation === before) continue
    // Another client may have filled it meanwhile.
    return before === undefined && reply.state === 'voting'
      ? `${name} is up and has data: it kept what it had, or was filled already.`
      : `${name} has an empty disk and is filled now.`
  }
}

/** The names of the servers but that at `index` that do not vote: perhaps one of them was stopped or emptied instead. */
function othersAway({ links, voters }: Cluster, index: number): string {
  const away = links.filter((link) => link.index !== index && !voters.includes(link.index))
  return away.map(({ name }) => name).join(', ')
}

/** The incarnation in it changes whenever an account begins from nothing. */
async function statusOf(cluster: Cluster, index: number): Promise<Reply<'status'>> {
  const { reply } = await cluster.request(index, 'status', {})
  return reply
}

/** Whether the key of the server is remembered, and not fixed by the configuration. */
function isTrustable({ client }: Session, { index }: NamedServer): boolean {
  const { config } = client.cluster
  const server = config.servers[index]
  return server !== undefined && server.key === undefined && usesTls(config, server)
}

/** Repairs until all four servers have everything. Other clients may do so as well. */
async function untilComplete(
  session: Session,
  { server: { name } }: NamedServer,
  line: StatusLine,
  deadlineMs: number,
): Promise<void> {
  const { client, output } = session
  let told = ''
  for (;;) {
    let why = ''
    try {
      await client.cluster.refreshBlank()
      const report = await client.scheduler.heal({
        progress: (step) => line.show(describeProgress(step)),
      })
      why = report.failure?.message ?? ''
      if (isComplete(client.cluster, await lackOf(client.cluster))) return
    } catch (error) {
      session.interrupted.throwIfAborted()
      why = sentenceOf(error)
    }
    if (why !== '' && why !== told)
      output.print(`Part of the repair failed, and will be repeated: ${why}`)
    told = why
    await pause(session, deadlineMs, `${name} is not complete yet`)
  }
}

function isComplete({ voters }: Cluster, lack: Lack): boolean {
  const { misplaced, undecided } = lack
  return voters.length === limits.serverCount && countOf(lack.missing) + misplaced + undecided === 0
}

/** Throws when the user has interrupted, or the time is over: then with `what`. */
async function pause(
  { client, interrupted }: Session,
  deadlineMs: number,
  what: string,
): Promise<void> {
  interrupted.throwIfAborted()
  const { clock } = client.cluster
  if (clock.monotonic() >= deadlineMs) {
    throw new DfsError('timedOut', `${what}: "dfc server replace" may be given again at any time`)
  }
  await sleep(clock, limits.statusWaitMs)
}
