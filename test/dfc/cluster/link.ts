/** A link to a server that refuses its client: it is not asked for ever, and used at once when there is a reason to. */
import t from 'tap'
import { systemRandom } from '../../../src/clock.js'
import { Cluster } from '../../../src/dfc/cluster/cluster.js'
import { redirectNotices } from '../../../src/log.js'
import { tcpNetwork } from '../../../src/network.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { startWithUsers, until } from '../../fixtures/servers.js'
import { StandingClock } from '../../fixtures/standing-clock.js'

t.test(
  'a server that refuses a password is asked ever more seldom, and told of once',
  async (t) => {
    const servers = await startWithUsers(
      t,
      (index) => `[users.alice]\npassword = "${index === 2 ? 'other' : 'secret'}"\n`,
    )
    const lines: string[] = []
    redirectNotices((line) => lines.push(line))
    const proxies = await MessageProxies.open(t, servers)
    let config = proxies.config('alice', 10_000)
    const clock = new StandingClock()
    const cluster = await Cluster.open({
      config,
      configNow: () => config,
      network: tcpNetwork,
      clock,
      random: systemRandom,
    })
    t.teardown(() => cluster.close())
    const link = cluster.link(2)
    const logins = proxies.counter('hello', 2)
    /** Lets a second pass, and waits for the end of the login that begins then. */
    const passSecond = async (): Promise<void> => {
      const [before, { failure }] = [logins(), link]
      clock.pass(1000)
      await new Promise((done) => setTimeout(done, 20))
      if (logins() > before) await until(() => link.failure !== failure)
    }
    for (let second = 0; second < 60; second += 1) await passSecond()
    t.ok(logins() >= 4, 'it is asked again')
    t.ok(logins() <= 9, `${logins()} times within a minute`)
    t.match(link.failure, { code: 'authentication' })
    const aboutIt = lines.filter((line) => line.includes('DFS3'))
    t.equal(aboutIt.length, 1, 'its cause is one line')
    t.match(aboutIt[0], /DFS3 is down: Invalid Username/)
    config = { ...config, password: 'other' }
    await passSecond()
    t.equal(link.isUp, true, 'it is used at once when the configuration has another password')
    // The account begins now that all four are there: what that writes must not meet the end of the test.
    await until(() => cluster.voters.length === 4)
  },
)
