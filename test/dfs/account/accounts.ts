import t from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.js'
import { Accounts } from '../../../src/dfs/account/accounts.js'
import { folderStorage } from '../../../src/dfs/account/storage.js'

t.test('a fault of the program is no trouble of a disk for who opens an account', async (t) => {
  const storage = folderStorage(t.testdir({}), systemRandom)
  t.teardown(() => storage.close())
  const open = storage.openAccount('alice')
  const accounts = new Accounts(storage, systemRandom, systemClock)
  t.throws(() => accounts.acquire('alice'), { code: 'ERR_ASSERTION' })
  open.close()
  t.equal(accounts.acquire('alice').user, 'alice', 'an account that is closed can be opened')
  accounts.closeAll()
})
