/** Finds what one server alone claims: registers that no other one has, and times and epochs of the far future. */
import { quorum } from '../../wire/quorum.js'
import type { Key } from '../../wire/records.js'
import { isAhead, noVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { newestConfirmed } from '../quorum/confirmed.js'
import { askEach } from './ask-voters.js'
import type { Difference } from './differences.js'
import { isMadeUp } from './fill-epoch.js'

/** A register that one server alone shows: it is made up, or two others have lost it. Nothing is copied from it. */
export interface LoneRegister {
  readonly server: number
  readonly key: Key
  readonly version: Version
}

export interface Claims {
  readonly lone: readonly LoneRegister[]
  /** Servers with a fence of the far future, which no vote can exceed. */
  readonly aheadFences: readonly number[]
  /** Servers with an epoch that no fills can have come to. */
  readonly madeUpEpochs: readonly number[]
}

/** Those of the lone differences that are so in a second look, and what else the servers claim. */
export async function claimsOf(
  cluster: Cluster,
  servers: readonly number[],
  found: readonly Difference[],
): Promise<Claims> {
  const statuses = await askEach(cluster, servers, 'status', () => ({}))
  const now = cluster.clock.now()
  const epochs = statuses.map(({ stamp }) => stamp.epoch)
  const lone: LoneRegister[] = []
  for (const { key, version, holders, isLone } of found) {
    const [server] = holders
    if (!isLone || server === undefined) continue
    if (await isStillLone(cluster, servers, server, key, version))
      lone.push({ server, key, version })
  }
  return {
    lone,
    aheadFences: servers.filter((_, at) => isAhead(statuses[at]?.stamp.fence ?? noVersion, now)),
    madeUpEpochs: servers.filter((_, at) => isMadeUp(epochs[at] ?? 0, epochs)),
  }
}

/** Whether no other server shows the register, or holds it as a vote, a moment later: it is not being stored. */
async function isStillLone(
  cluster: Cluster,
  servers: readonly number[],
  server: number,
  key: Key,
  version: Version,
): Promise<boolean> {
  const outcomes = await cluster.ask(servers, 'read', () => ({ keys: [key] }))
  const seen = outcomes.flatMap(({ index, answer }) => {
    const register = answer?.reply.registers[0]?.register
    return register === undefined ? [] : [{ index, ...register }]
  })
  const own = seen.find(({ index }) => index === server)
  const others = seen.filter(({ index }) => index !== server)
  if (own === undefined || own.version !== version || others.length < quorum.believe) return false
  const isHeld = others.some(({ lock }) => lock === version)
  const confirmed = newestConfirmed(seen)
  return !isHeld && (confirmed?.version ?? noVersion) <= version && confirmed?.index !== server
}
