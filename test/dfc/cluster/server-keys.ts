import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { spawnMortal } from '../../fixtures/mortal.js'

const program = resolve(import.meta.dirname, '../../fixtures/learning-keys.js')

/** Has a program for each of these users learn the keys of four servers, all at once. Returns the file's keys by user. */
async function learn(t: Test, folder: string, ...users: readonly string[]) {
  const file = join(folder, 'server-keys.json')
  const ends = users.map((user) => {
    const child = spawnMortal(process.execPath, [program, file, user])
    t.teardown(() => child.kill('SIGKILL'))
    return once(child, 'close')
  })
  for (const end of ends) t.same(await end, [0, null])
  const { accounts } = JSON.parse(readFileSync(file, 'utf8'))
  t.same(readdirSync(folder), ['server-keys.json'], 'nothing else is left')
  return Object.fromEntries(
    accounts.map((account: { user: string; servers: { key: string }[] }) => [
      account.user,
      account.servers.map(({ key }) => key),
    ]),
  )
}

const keysOf = (user: string): string[] => [0, 1, 2, 3].map((index) => `key ${index} of ${user}`)

t.test('of programs that learn keys at once none forgets those of the others', async (t) => {
  const users = ['alice', 'bob', 'carol', 'dave']
  const known = await learn(t, t.testdir({}), ...users)
  t.same(known, Object.fromEntries(users.map((user) => [user, keysOf(user)])))
})

t.test('a program that died while it changed the file stops no other one', async (t) => {
  const folder = t.testdir({})
  writeFileSync(join(folder, 'server-keys.json.lock'), '')
  t.same(await learn(t, folder, 'alice'), { alice: keysOf('alice') })
})
