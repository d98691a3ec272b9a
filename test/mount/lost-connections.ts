/**
 * Tests that no program in a mount sees an error when connections to several servers, or to all, are lost at one moment
 * and can be made again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import { openProxies, type ServerProxy } from '../fixtures/server-proxy.js'
import { startServerProcesses, type TestServers } from '../fixtures/servers.js'

t.setTimeout(180_000)

/** Long enough for servers to be restarted on a busy machine. */
const timeoutMs = 30_000

/** Programs that run until the file `stop` exists, and fail when anything fails or is not as they have left it. */
const programs: Readonly<Record<string, string>> = {
  'small files': `
    for (let round = 0; isGoing(); round += 1) {
      const folder = name(round % 5)
      fs.mkdirSync(folder)
      for (let index = 0; index < 10; index += 1) fs.writeFileSync(folder + '/' + index, 'content ' + index)
      const names = fs.readdirSync(folder)
      if (names.length !== 10) throw new Error(folder + ' has ' + names)
      for (const one of names) {
        const content = fs.readFileSync(folder + '/' + one, 'utf8')
        if (content !== 'content ' + one) throw new Error(one + ' is ' + content)
        fs.renameSync(folder + '/' + one, folder + '/renamed ' + one)
        fs.chmodSync(folder + '/renamed ' + one, 0o600)
      }
      fs.rmSync(folder, { recursive: true })
    }`,
  'synced records': `
    const file = fs.openSync(name('log'), 'a')
    let text = ''
    for (let record = 0; isGoing(); record += 1) {
      text += 'record ' + record + '\\n'
      fs.writeSync(file, 'record ' + record + '\\n')
      fs.fsyncSync(file)
    }
    fs.closeSync(file)
    if (fs.readFileSync(name('log'), 'utf8') !== text) throw new Error('records are missing')`,
  'large files': `
    const bytes = crypto.randomBytes(6_000_000)
    for (let round = 0; isGoing(); round += 1) {
      fs.writeFileSync(name('large'), bytes)
      if (!fs.readFileSync(name('large')).equals(bytes)) throw new Error('other bytes')
    }`,
  listings: `
    while (isGoing()) {
      if (!fs.readdirSync('.').includes('there')) throw new Error('a name is missing')
      fs.statSync('there')
      fs.statfsSync('.')
    }`,
}
const beginning = `const fs = require('node:fs')
  const crypto = require('node:crypto')
  const [label, stop] = process.argv.slice(1)
  const isGoing = () => !fs.existsSync(stop)
  const name = (word) => label + ' ' + word\n`

const all = [0, 1, 2, 3]

interface Trouble {
  readonly what: string
  readonly count: number
  readonly everyMs: number
  make(servers: TestServers, proxies: readonly ServerProxy[]): Promise<void> | void
}

const troubles: readonly Trouble[] = [
  {
    what: 'that all connections are lost',
    count: 12,
    everyMs: 400,
    make: (_, proxies) => {
      for (const proxy of proxies) proxy.cut()
    },
  },
  {
    what: 'that the connections to two servers are lost',
    count: 12,
    everyMs: 400,
    make: (_, proxies) => {
      for (const index of [1, 2]) proxies[index]?.cut()
    },
  },
  {
    what: 'that all servers are restarted',
    count: 4,
    everyMs: 1_500,
    async make(servers) {
      await servers.kill(...all)
      await Promise.all(all.map((index) => servers.start(index)))
    },
  },
]

for (const { what, count, everyMs, make } of troubles) {
  t.test(`programs do not notice ${what}`, async (t) => {
    const servers = await startServerProcesses(t)
    const { proxies, config } = await openProxies(t, servers)
    const mounts = new TestMounts(t, { ...config, timeoutMs })
    const mount = await mounts.start('mnt')
    await mount.out('touch there')
    const stop = mounts.path('stop')
    const running = Object.entries(programs).map(([label, script]) =>
      mount.node(beginning + script, label, stop).then(
        () => `${label}: ok`,
        (error: Error) => `${label}: ${error.message}`,
      ),
    )
    for (let done = 0; done < count; done += 1) {
      await sleep(everyMs)
      await make(servers, proxies)
    }
    await sleep(everyMs)
    await mount.out(`touch '${stop}'`)
    t.same(
      await Promise.all(running),
      Object.keys(programs).map((label) => `${label}: ok`),
    )
    t.match(mount.said.join(''), /is down: connection closed/)
  })
}
