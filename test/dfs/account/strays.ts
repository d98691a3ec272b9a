import t from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.js'
import { Account } from '../../../src/dfs/account/account.js'
import { memoryStorage } from '../../../src/dfs/account/storage.js'

t.test('an account that does not vote takes no file for a stray', async (t) => {
  const storage = memoryStorage(systemRandom, systemClock)
  const account = new Account('alice', storage.openAccount('alice'), systemRandom, systemClock)
  t.equal(account.acceptor.state, 'blank')
  await t.rejects(account.strays.removeOnce(), { code: 'ERR_ASSERTION' }, 'a fault is not hidden')
  await t.resolves(account.strays.removeOnce(), 'it is done once')
  account.close()
})
