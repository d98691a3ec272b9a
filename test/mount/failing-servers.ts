/**
 * Tests that every operation works whatever is wrong with one server, and that with two bad servers every operation
 * ends, in success or with the right errno, and the mount can be unmounted. As root, the test runs in a network
 * namespace of its own, in which packets can be dropped.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import type { HeldSegment } from '../../src/wire/messages.js'
import { serverIndexes } from '../../src/wire/placement.js'
import { checkAll, clean, healNow, openClient } from '../fixtures/library.js'
import { type TestMount, TestMounts } from '../fixtures/mount.js'
import { openProxies, type ServerProxy } from '../fixtures/server-proxy.js'
import { startServerProcesses, type TestServers, until } from '../fixtures/servers.js'

const marker = 'DFS_TEST_NETWORK'
const isInside = process.env[marker] !== undefined
const ofItsOwn = [
  '--net',
  '--',
  'sh',
  '-c',
  'ip link set lo up && ip rule add pref 10 lookup local',
]

function whyNoNetwork(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can make a network namespace'
  const { status, error, stderr } = spawnSync('unshare', ofItsOwn)
  if (status === 0) return undefined
  return `no network namespace: ${error?.message ?? stderr}`
}

const noNetwork = isInside ? undefined : whyNoNetwork()

/** Time in ms in which every operation has to end. */
const deadlineMs = 15_000
/** Time in ms in which every operation has to end while one server is bad. */
const deadlineOfOneMs = 4_000

const operations = {
  ls: 'ls -l . sub',
  stat: 'stat -c %s large small',
  'cat of a small file': 'cat small > /dev/null',
  'cat of a large file': 'cmp large "$SOURCE"',
  'cp of a large file into it': 'cp "$SOURCE" $NAME.copy',
  'creation of a file': 'echo new > $NAME.new',
  append: 'echo more >> sub/appended',
  'fsync of a file': 'dd if=/dev/zero of=$NAME.synced bs=1k count=1 conv=fsync',
  rename: 'mv $NAME.old $NAME.renamed',
  unlink: 'rm $NAME.gone',
  mkdir: 'mkdir $NAME.folder',
  rmdir: 'rmdir $NAME.empty',
  chmod: 'chmod 600 small',
  statfs: 'stat -f . > /dev/null',
  df: 'df . > /dev/null',
  setfattr: `python3 -c 'import os; os.setxattr("small", "user.a", b"b")'`,
  getfattr: `python3 -c 'import os; os.listxattr("small")'`,
  'fsync of a folder': 'sync sub',
} as const

const trueErrors = /Read-only file system|Input\/output error|EROFS|EIO/

interface Fault {
  begin(index: number): Promise<void> | void
  end(index: number): Promise<void> | void
}

function faults(
  servers: TestServers,
  proxies: readonly ServerProxy[],
): Readonly<Record<string, Fault>> {
  const set = (index: number, change: Partial<Pick<ServerProxy, 'delayMs' | 'isMute'>>): void => {
    Object.assign(proxies[index] ?? {}, change)
  }
  const rule = (what: 'add' | 'del', index: number): void => {
    const address = proxies[index]?.host ?? ''
    execFileSync('ip', ['rule', what, 'pref', '5', 'from', address, 'blackhole'])
  }
  return {
    killed: { begin: (index) => servers.kill(index), end: (index) => servers.start(index) },
    stopped: {
      begin: (index) => servers.signal(index, 'SIGSTOP'),
      end: (index) => servers.signal(index, 'SIGCONT'),
    },
    slow: {
      begin: (index) => set(index, { delayMs: 1_000 }),
      end: (index) => set(index, { delayMs: 0 }),
    },
    mute: {
      begin: (index) => set(index, { isMute: true }),
      end: (index) => set(index, { isMute: false }),
    },
    ...(isInside && {
      'cut off': { begin: (index) => rule('add', index), end: (index) => rule('del', index) },
    }),
  }
}

const all = new Set(Object.keys(operations))
const withoutContent = new Set(['ls', 'stat', 'statfs', 'df', 'getfattr'])
const reading = new Set([...withoutContent, 'cat of a small file', 'cat of a large file'])

/** The bad servers, and the operations that must succeed all the same when these do not answer. */
const groups = {
  'one server': { indexes: [1], must: all },
  'two opposite servers': { indexes: [0, 2], must: reading },
  'two neighbours': { indexes: [2, 3], must: withoutContent },
}

/** Runs all operations, one after the other, in a mount that has met the servers in health. */
async function tryAll(
  t: Test,
  mount: TestMount,
  environment: { readonly SOURCE: string; readonly NAME: string },
  isOne: boolean,
): Promise<Set<string>> {
  const done = new Set<string>()
  for (const [what, script] of Object.entries(operations)) {
    const begin = performance.now()
    const { status, problems } = await mount.sh(script, environment)
    const ms = Math.round(performance.now() - begin)
    if (status === 0) done.add(what)
    else if (isOne || !trueErrors.test(problems))
      t.fail(`${what}: ended with ${status}: ${problems}`)
    if (ms > (isOne ? deadlineOfOneMs : deadlineMs)) t.fail(`${what} took ${ms} ms`)
  }
  return done
}

function suite(): void {
  t.setTimeout(600_000)
  t.test('every operation ends', async (t) => {
    const servers = await startServerProcesses(t)
    const { proxies, config } = await openProxies(t, servers)
    const mounts = new TestMounts(t, config)
    const source = mounts.path('source')
    const first = await mounts.start('first')
    await first.out(`head -c 5M /dev/urandom > ${source}; cp ${source} large; echo small > small
      mkdir sub; touch sub/appended`)
    await first.close()
    for (const [fault, { begin, end }] of Object.entries(faults(servers, proxies))) {
      for (const [group, { indexes, must }] of Object.entries(groups)) {
        const name = `${fault.replaceAll(' ', '-')}${indexes.join('')}`
        await t.test(`${group} ${fault}`, async (t) => {
          const mount = await mounts.start(name)
          const environment = { SOURCE: source, NAME: name }
          await mount.out(
            'touch $NAME.old $NAME.gone; mkdir $NAME.empty; echo x > $NAME.warm',
            environment,
          )
          for (const index of indexes) await begin(index)
          const done = await tryAll(t, mount, environment, indexes.length === 1)
          // Nobody who answers, however late, is missing.
          const missing = [...(fault === 'slow' ? all : must)].filter((what) => !done.has(what))
          t.same(missing, [], `${done.size} of ${all.size} were done`)
          const startedMs = performance.now()
          const ended = once(mount.process, 'exit')
          execFileSync('fusermount3', ['-u', '--', mount.mountpoint])
          await ended
          t.ok(performance.now() - startedMs < deadlineMs, 'the mount ends when it is taken off')
          for (const index of indexes) await end(index)
          await judge(t, mounts, name, environment, done)
        })
      }
    }
    const client = await openClient(t, servers)
    await until(() => client.cluster.voters.length === 4)
    t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
    t.match(await checkAll(client), sound)
    for (const index of serverIndexes) {
      const wanted = { after: '0'.repeat(32), misplacedOnly: false, limit: limits.surveyEntriesMax }
      const { reply } = await client.cluster.request(index, 'segments', wanted)
      const released = ({ referred, segment }: HeldSegment): boolean =>
        !referred && segment.length > 0
      t.same(reply.segments.filter(released), [], 'what was in use once is collected')
    }
  })
}

/** What was sent of a file that could not be stored is kept for a while by those that have it. */
const { garbage: _, ...sound } = clean

/** Checks that everything reported as done is there. */
async function judge(
  t: Test,
  mounts: TestMounts,
  name: string,
  environment: { readonly SOURCE: string; readonly NAME: string },
  done: ReadonlySet<string>,
): Promise<void> {
  const mount = await mounts.start(`${name}-after`)
  await mount.out('until touch probe 2> /dev/null; do sleep 0.1; done')
  const expectations = {
    'cp of a large file into it': 'cmp "$SOURCE" $NAME.copy',
    'creation of a file': 'grep -qx new $NAME.new',
    'fsync of a file': 'test $(stat -c %s $NAME.synced) = 1024',
    rename: 'test -e $NAME.renamed -a ! -e $NAME.old',
    unlink: 'test ! -e $NAME.gone',
    mkdir: 'test -d $NAME.folder',
    rmdir: 'test ! -e $NAME.empty',
  }
  for (const [what, script] of Object.entries(expectations)) {
    if (!done.has(what)) continue
    const { status, problems } = await mount.sh(script, environment)
    t.equal(status, 0, `${what} was done, and is: ${problems}`)
  }
  await mount.close()
}

const noFuse = existsSync('/dev/fuse') ? false : 'there is no /dev/fuse'

if (noFuse) t.test('every operation ends', { skip: noFuse }, () => {})
else if (isInside || noNetwork !== undefined) {
  if (noNetwork !== undefined) t.test('servers that are cut off', { skip: noNetwork }, () => {})
  suite()
} else {
  t.setTimeout(600_000)
  // Rules of our own must come before those for addresses of this machine.
  const prepare = `${ofItsOwn.at(-1)} && ip rule del pref 0 && exec "$0" "$@"`
  const program = ['env', '--unset=NODE_OPTIONS', process.execPath, import.meta.filename]
  const killed = ['--pdeathsig', 'KILL', 'unshare', ...ofItsOwn.slice(0, -1), prepare, ...program]
  t.spawn('setpriv', killed, {
    env: { ...process.env, [marker]: '1' },
  })
}
