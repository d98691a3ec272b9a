import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadClientConfig } from '../../../src/config.js'
import { CurrentConfig } from '../../../src/dfc/cluster/current-config.js'
import { redirectNotices } from '../../../src/log.js'

const notices: string[] = []
redirectNotices((line) => notices.push(line.replace(/^\S+ /, '')))

function confOf(user: string, password: string): string {
  const tables = ['DFS1', 'DFS2', 'DFS3', 'DFS4'].map(
    (name, index) => `[[server]]\nname = "${name}"\naddress = "127.0.0.1:${10_001 + index}"\n`,
  )
  return `user = "${user}"\npassword = "${password}"\n${tables.join('')}`
}

t.test('a configuration that cannot be used is named once, and the one before stays', async (t) => {
  const file = join(t.testdir({}), 'dfc.conf')
  const write = (text: string): void => writeFileSync(file, text, { mode: 0o600 })
  const read = () => loadClientConfig(file, {})
  write(confOf('alice', 'first'))
  const config = new CurrentConfig(read(), read)
  const passwordAfter = (): string => {
    config.refresh()
    config.refresh()
    return config.now.password
  }

  rmSync(file)
  t.equal(passwordAfter(), 'first')
  write('garbage')
  t.equal(passwordAfter(), 'first')
  write(confOf('bob', 'of bob'))
  t.equal(passwordAfter(), 'first')
  write(confOf('alice', 'second'))
  t.equal(passwordAfter(), 'second')
  rmSync(file)
  t.equal(passwordAfter(), 'second')

  const ignored = 'the configuration cannot be used, going on with the one before: '
  const gone = `${ignored}${file}: cannot read the configuration: there is no such file`
  t.equal(notices.length, 4)
  t.ok(notices[0]?.startsWith(gone))
  t.ok(notices[1]?.startsWith(`${ignored}${file}:1: `))
  t.equal(
    notices[2],
    `${ignored}it is for the account of bob on DFS1, DFS2, DFS3, DFS4, and no longer for the account of alice on DFS1, DFS2, DFS3, DFS4`,
  )
  t.ok(notices[3]?.startsWith(gone), 'it is said again after it was right in between')
})
