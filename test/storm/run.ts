/**
 * Workers of two users at the same names while servers are killed and started again, one after the
 * other; then a repair, and a look at everything.
 */
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Client } from '../../src/dfc/client.js'
import type { HealReport } from '../../src/dfc/repair/heal.js'
import type { VerifyReport } from '../../src/dfc/repair/verify.js'
import { clean, healNow, openClient, readFile } from '../fixtures/library.js'
import { forkMortal } from '../fixtures/mortal.js'
import { Seeded } from '../fixtures/seeded.js'
import { type TestServers, until } from '../fixtures/servers.js'
import { type Findings, numberOf, type Orders } from './worker.js'

export interface StormWorker {
  readonly user: 'alice' | 'bob'
  readonly orders: Omit<Orders, 'seed' | 'ms'>
}

const worker = join(import.meta.dirname, 'worker.js')
const roundsMax = 6

export async function runStorm(
  t: Test,
  servers: TestServers,
  workers: readonly StormWorker[],
  { seed, ms }: { readonly seed: number; readonly ms: number },
): Promise<void> {
  const random = new Seeded(seed)
  let isOver = false
  // A new account needs all four servers once, to begin.
  let readyCount = 0
  const onReady = (): void => {
    readyCount += 1
  }
  const all = Promise.all(
    workers.map(({ orders }) => send({ ...orders, seed: random.below(2 ** 31), ms }, onReady)),
  ).finally(() => {
    isOver = true
  })
  await until(() => readyCount === workers.length || isOver)
  let kills = 0
  while (!isOver) {
    await pause(100 + random.below(700))
    const server = random.below(4)
    await servers.kill(server)
    kills += 1
    await pause(100 + random.below(1200))
    await servers.start(server)
  }
  const findings = await all
  t.comment(`${kills} kills`)
  for (const user of ['alice', 'bob'] as const) {
    const own = findings.filter((_, index) => workers[index]?.user === user)
    if (own.length > 0) await judge(t, servers, user, own)
  }
}

// What was uploaded and never committed is kept for a day.
const { garbage: _, ...rest } = clean

function look(client: Client): Promise<VerifyReport> {
  return client.verify({ progress() {}, badCopy() {} })
}

function isDone({ left, swept }: HealReport): boolean {
  return left === 0 && swept
}

function isClean(report: VerifyReport): boolean {
  const { differences, undecided, missing, extra, strays, bad } = report
  return differences + undecided + missing + extra + strays + bad === 0
}

async function send(orders: Orders, onReady: () => void): Promise<Findings> {
  const child = forkMortal(worker, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.send(orders)
  let findings: Findings | undefined
  child.on('message', (message: 'ready' | Findings) => {
    if (message === 'ready') onReady()
    else findings = message
  })
  const [code] = await once(child, 'exit')
  if (findings === undefined) throw new Error(`worker ended: ${code}`)
  return findings
}

async function judge(
  t: Test,
  servers: TestServers,
  user: 'alice' | 'bob',
  findings: readonly Findings[],
): Promise<void> {
  const client = await openClient(t, servers, user)
  await until(() => client.cluster.up.length === 4)
  // Mounts may still be at work for a moment: what they repair themselves was somewhere else before.
  let [healed, seen] = [await client.scheduler.heal(healNow), await look(client)]
  for (let round = 1; round < roundsMax && !(isDone(healed) && isClean(seen)); round += 1) {
    t.comment(`${user}: ${JSON.stringify({ ...seen, mismatched: 0 })}`)
    await pause(200)
    healed = await client.scheduler.heal(healNow)
    seen = await look(client)
  }
  t.match(healed, { left: 0, swept: true, lost: [] }, `${user}: the repair leaves nothing`)
  t.match(seen, rest, `${user}: the four servers are the same`)
  for (const { name, violations, own, done, failed } of findings) {
    t.same(violations, [], `${name}: nothing was mixed, lost or came back`)
    t.comment(`${name}: ${JSON.stringify(done)} failed: ${JSON.stringify(failed)}`)
    t.ok((done.own ?? 0) > 0, `${name} could write`)
    const last = await readFile(client, `own-${name}`).then(numberOf, () => 0)
    t.ok(own.includes(last), `own-${name} is ${last}, one of ${own}`)
  }
  const winners = new Map<number, string[]>()
  for (const { name, won } of findings) {
    for (const number of won) winners.set(number, [...(winners.get(number) ?? []), name])
  }
  const twice = [...winners].filter(([, names]) => names.length > 1)
  t.same(twice, [], `${user}: of ${winners.size} names none was won twice`)
  let gone = 0
  for (const number of winners.keys()) {
    await readFile(client, `won-${number}`).catch(() => {
      gone += 1
    })
  }
  t.equal(gone, 0, `${user}: what was won is there`)
}
