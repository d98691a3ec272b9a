/** Guides the replacement of a server's disk, from the check whether it may be taken down until it is complete again. */

import { sleep } from '../../clock.js'
import { usesTls } from '../../config.js'
import type { Cluster } from '../../dfc/cluster/cluster.js'
import type { ServerWatch } from '../../dfc/cluster/server-watch.js'
import { countOf, type Lack, lackOf } from '../../dfc/repair/missing.js'
import { sentenceOf } from '../../error-message.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { addressText } from '../../network.js'
import type { Reply } from '../../wire/messages.js'
import type { NamedServer } from '../named-server.js'
import { type Session, watchServers } from '../session.js'
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
  const { index, server } = named
  const { name } = server
  const { cluster } = session.client
  const before = cluster.voters.includes(index)
    ? (await statusOf(cluster, index)).stamp.incarnation
    : undefined
  const watch = watchServers(session)
  await watch.begin()
  const where = addressText(server.address)
  if (before !== undefined) {
    output.print(
      `Stop ${name} now, replace its disk, and start dfs-server with the empty folder at ${where}.`,
    )
  } else if (!cluster.link(index).isUp) {
    output.print(`Start dfs-server with the empty folder of ${name} at ${where}.`)
  }
  const told = { why: '', others: othersAway(cluster, index) }
  for (; ; await awaitChange(session, watch, deadlineMs, `${name} has no new disk yet`)) {
    if (isAnotherKey(session, named)) {
      await trustShownKey(session.client.cluster.config, output, named)
      await session.apart(async () => {})
    }
    tellOthers(session, named, told)
    tellWhy(session, named, line, told)
    const reply = await statusOf(session.client.cluster, index).catch(() => undefined)
    if (reply === undefined || reply.stamp.incarnation === before) continue
    // Another client may have filled it meanwhile.
    return before === undefined && reply.state === 'voting'
      ? `${name} is up and has data: it kept what it had, or was filled already.`
      : `${name} has an empty disk and is filled now.`
  }
}

/** Sentences that were said last: each is said once. */
interface Told {
  why: string
  others: string
}

function tellOthers({ client, output }: Session, { index, server }: NamedServer, told: Told): void {
  const others = othersAway(client.cluster, index)
  if (others !== '' && others !== told.others) {
    output.problem(
      `${server.name} is the server to replace, but ${others} does not vote now: first start it with its old data`,
    )
  }
  told.others = others
}

function tellWhy(
  { client, output }: Session,
  { index, server: { name } }: NamedServer,
  line: StatusLine,
  told: Told,
): void {
  const { failure } = client.cluster.link(index)
  const why = failure?.message ?? ''
  if (why !== '' && why !== told.why && failure?.code !== 'down') output.print(`${name}: ${why}`)
  told.why = why
  line.show(why === '' ? `waiting for the new disk of ${name}` : `waiting: ${name}: ${why}`)
}

/** Waits, apart from the servers, until another one answers somewhere. Throws as `assertTime` does. */
async function awaitChange(
  session: Session,
  watch: ServerWatch,
  deadlineMs: number,
  what: string,
): Promise<void> {
  const { clock } = session.client.cluster
  assertTime(session, deadlineMs, what)
  const waitMs = Math.min(limits.watchMsMax, deadlineMs - clock.monotonic())
  await session.apart(() => watch.changed(waitMs, session.interrupted))
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

/** Whether the server shows another key than the one that is remembered, and not fixed by the configuration. */
function isAnotherKey({ client }: Session, { index }: NamedServer): boolean {
  const { config } = client.cluster
  const { failure, server } = client.cluster.link(index)
  return failure?.code === 'untrusted' && server.key === undefined && usesTls(config, server)
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

async function pause(session: Session, deadlineMs: number, what: string): Promise<void> {
  assertTime(session, deadlineMs, what)
  await sleep(session.client.cluster.clock, limits.statusWaitMs)
}

/** Throws when the user has interrupted, or the time is over: then with `what`. */
function assertTime({ client, interrupted }: Session, deadlineMs: number, what: string): void {
  interrupted.throwIfAborted()
  if (client.cluster.clock.monotonic() < deadlineMs) return
  throw new DfsError('timedOut', `${what}: "dfc server replace" may be given again at any time`)
}
