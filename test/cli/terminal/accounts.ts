import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AccountNames } from '../../../src/cli/terminal/accounts.js'

/** Reads the names while PATH has only a getent with this script, or none. */
async function namesBy(t: Test, script?: string): Promise<AccountNames> {
  const folder = t.testdir({})
  if (script !== undefined) {
    writeFileSync(join(folder, 'getent'), `#!/bin/sh\n${script}\n`)
    chmodSync(join(folder, 'getent'), 0o755)
  }
  const before = process.env.PATH
  process.env.PATH = folder
  try {
    return await AccountNames.read()
  } finally {
    process.env.PATH = before
  }
}

t.test(
  'knows root by the getent of this machine, and shows numbers that have no name',
  async (t) => {
    const names = await AccountNames.read()
    t.equal(names.user(0), 'root')
    t.equal(names.group(0), 'root')
    t.equal(names.user(4_000_000_000), '4000000000')
  },
)

t.test('takes the first name of a number, also from a directory', async (t) => {
  const names = await namesBy(t, 'echo "Jürgen@example:*:70001:1::/:"; echo "second:*:70001:1::/:"')
  t.equal(names.user(70_001), 'Jürgen@example')
  t.equal(names.group(70_001), 'Jürgen@example')
})

t.test('shows numbers when getent is missing or fails', async (t) => {
  t.equal((await namesBy(t)).user(0), '0')
  t.equal((await namesBy(t, 'exit 2')).group(0), '0')
})

t.test('shows numbers when getent hangs, and does not wait for long', async (t) => {
  const startedMs = performance.now()
  const names = await namesBy(t, 'exec /bin/sleep 60')
  t.equal(names.user(0), '0')
  t.ok(performance.now() - startedMs < 20_000)
})
