/** The account of `dfs-mount --local`: made once, and then its owner's to change. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { localAccount } from '../../../src/fuse/local/local-accounts.js'
import { Seeded } from '../../fixtures/seeded.js'

t.test(
  'what its owner writes into the configuration stays while the ports are the same',
  async (t) => {
    const folder = join(t.testdir({}), 'home')
    const random = new Seeded(1)
    const { config, clientFile } = await localAccount(folder, 10_001, random)
    t.equal(statSync(clientFile).mode & 0o777, 0o600)
    const edited = readFileSync(clientFile, 'utf8').replace(
      'user = ',
      '# mine\ntimeout = "5s"\nuser = ',
    )
    writeFileSync(clientFile, edited)
    const again = await localAccount(folder, 10_001, random)
    t.equal(readFileSync(clientFile, 'utf8'), edited)
    t.match(again.config, { timeoutMs: 5000, password: config.password })

    const moved = await localAccount(folder, 20_001, random)
    t.same(
      moved.config.servers.map(({ address }) => address.port),
      [20_001, 20_002, 20_003, 20_004],
    )
    t.equal(moved.config.password, config.password, 'the account is the same')
  },
)
