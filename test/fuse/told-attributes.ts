/**
 * Tests that an answer with attributes never replaces newer ones that a change has sent to the kernel, in whatever order
 * the two end. Each pair of them is held at each point, with a model of the kernel in the place of a mount.
 */
import { constants } from 'node:fs'
import t, { type Test } from 'tap'
import { sleep, systemClock, systemRandom } from '../../src/clock.js'
import { Client } from '../../src/dfc/client.js'
import { isError } from '../../src/errors.js'
import { Activity } from '../../src/fuse/mount/activity.js'
import { operationsOf } from '../../src/fuse/mount/operations.js'
import { Filesystem } from '../../src/fuse/vfs/filesystem.js'
import { LastFailures } from '../../src/fuse/vfs/last-failures.js'
import { positionBehind } from '../../src/fuse/vfs/positions.js'
import { RecoveryFolder } from '../../src/fuse/vfs/recovery-folder.js'
import { tcpNetwork } from '../../src/network.js'
import { rootIno } from '../../src/wire/records.js'
import { DelayedNamespace, type Hold } from '../fixtures/delayed-namespace.js'
import { KernelModel } from '../fixtures/kernel-model.js'
import { LeapingClock } from '../fixtures/leaping-clock.js'
import { startServers, until } from '../fixtures/servers.js'

t.setTimeout(600_000)
const { O_RDONLY, O_RDWR, O_TRUNC } = constants
const servers = await startServers(t)

/** A file in two folders, with a program that has it open and a listing that has begun. */
interface Scene {
  readonly kernel: KernelModel
  readonly ino: number
  readonly handle: number
  /** Folder in which the file has the name x. */
  readonly listed: number
  readonly listing: number
  /** Folder in which the file has the name y, beside another file z. */
  readonly beside: number
  readonly size: number
}

interface Expected {
  readonly size?: number
  readonly nlink?: number
  readonly mode?: number
}

type Teller = (scene: Scene) => Promise<unknown>

interface Changer {
  /** The kernel holds the lock of the inode during the request. */
  readonly isAlone?: boolean
  readonly run: (scene: Scene) => Promise<unknown>
  readonly becomes?: (scene: Scene) => Expected
}

const stored = 4096
const bytes = Buffer.alloc(20_000, 1)

const tellers: Readonly<Record<string, Teller>> = {
  'a look-up': ({ kernel, listed }) => kernel.lookup(listed, 'x'),
  stat: ({ kernel, ino }) => kernel.getattr(ino),
  'the rest of a listing': ({ kernel, listed, listing }) =>
    kernel.readdirplus(listed, listing, positionBehind('a'), 4096),
  'a listing': async ({ kernel, listed }) =>
    kernel.readdirplus(listed, await kernel.opendir(listed), 0, 4096),
  'an open': async ({ kernel, ino, listed }) => {
    try {
      await kernel.open(ino, O_RDONLY)
    } catch (error) {
      // The other name means something else already: the kernel looks once more for this one.
      if (!isError(error, 'stale')) throw error
      await kernel.open(await kernel.lookup(listed, 'x'), O_RDONLY)
    }
    await kernel.getattr(ino)
  },
  'a creation of what is there': async ({ kernel, listed }) => {
    try {
      await kernel.create(listed, 'x', O_RDWR)
    } catch (error) {
      if (!isError(error, 'stale')) throw error
      await kernel.open(await kernel.lookup(listed, 'x'), O_RDWR)
    }
  },
}

/** Requests that change something themselves: the kernel has the inode locked. */
const lockingTellers: Readonly<Record<string, Teller>> = {
  chmod: ({ kernel, ino }) => kernel.chmod(ino, 0o640),
  utimes: ({ kernel, ino }) => kernel.setTime(ino, 1_000_000),
  'a link': ({ kernel, ino, listed }) => kernel.link(ino, listed, 'again'),
}

const changers: Readonly<Record<string, Changer>> = {
  append: {
    isAlone: true,
    run: ({ kernel, ino, handle, size }) => kernel.write(ino, handle, size, bytes),
    becomes: ({ size }) => ({ size: size + bytes.length }),
  },
  write: {
    isAlone: true,
    run: ({ kernel, ino, handle }) => kernel.write(ino, handle, 10, bytes.subarray(0, 100)),
  },
  'write and close': {
    isAlone: true,
    run: async ({ kernel, ino, handle, size }) => {
      await kernel.write(ino, handle, size, bytes)
      await kernel.flush(ino, handle)
      await kernel.release(ino, handle)
    },
    becomes: ({ size }) => ({ size: size + bytes.length }),
  },
  truncate: {
    isAlone: true,
    run: ({ kernel, ino }) => kernel.truncate(ino, 100),
    becomes: () => ({ size: 100 }),
  },
  ftruncate: {
    isAlone: true,
    run: ({ kernel, ino, handle }) => kernel.truncate(ino, 100_000, handle),
    becomes: () => ({ size: 100_000 }),
  },
  O_TRUNC: {
    run: ({ kernel, ino }) => kernel.open(ino, O_RDWR | O_TRUNC),
    becomes: () => ({ size: 0 }),
  },
  flush: { run: ({ kernel, ino, handle }) => kernel.flush(ino, handle) },
  fsync: { run: ({ kernel, ino, handle }) => kernel.fsync(ino, handle) },
  release: { run: ({ kernel, ino, handle }) => kernel.release(ino, handle) },
  chmod: {
    isAlone: true,
    run: ({ kernel, ino }) => kernel.chmod(ino, 0o600),
    becomes: () => ({ mode: 0o600 }),
  },
  utimes: { isAlone: true, run: ({ kernel, ino }) => kernel.setTime(ino, 2_000_000) },
  'rename onto it': {
    isAlone: true,
    run: ({ kernel, ino, beside }) => kernel.rename(beside, 'z', 'y', ino),
    becomes: () => ({ nlink: 1 }),
  },
  'rename of it': {
    isAlone: true,
    run: ({ kernel, beside }) => kernel.rename(beside, 'y', 'yy'),
  },
  link: {
    isAlone: true,
    run: ({ kernel, ino, beside }) => kernel.link(ino, beside, 'yy'),
    becomes: () => ({ nlink: 3 }),
  },
  unlink: {
    isAlone: true,
    run: ({ kernel, ino, beside }) => kernel.unlink(beside, 'y', ino),
    becomes: () => ({ nlink: 1 }),
  },
}

/** Time in ms in which a request ends that does not wait for the held one. */
const patienceMs = 150

/** Runs `held` up to the point where it is held, then `other` to its end, if it comes to one, then the rest. */
async function around(
  hold: Hold,
  held: () => Promise<unknown>,
  other: () => Promise<unknown>,
): Promise<void> {
  const first = held()
  await Promise.race([hold.reached, first])
  const second = other()
  await Promise.race([second, sleep(systemClock, patienceMs)])
  hold.release()
  await Promise.all([first, second])
}

class Stage {
  readonly #operations: ReturnType<typeof operationsOf>
  readonly #delays: DelayedNamespace
  readonly #client: Client
  readonly #clock: LeapingClock
  readonly #isAlone: boolean
  #count = 0

  constructor(client: Client, clock: LeapingClock, isAlone: boolean, folder: string) {
    this.#client = client
    this.#clock = clock
    this.#isAlone = isAlone
    this.#delays = new DelayedNamespace(client.namespace)
    const { cluster, content } = client
    const failures = new LastFailures(clock)
    const filesystem = new Filesystem({
      client: {
        cluster,
        content,
        namespace: this.#delays.namespace,
        makeRoom: (...lack) => client.makeRoom(...lack),
        space: () => client.space(),
        sync: (added) => client.sync(added),
      },
      clock,
      random: systemRandom,
      sync: false,
      acl: false,
      spillFolder: folder,
      recovery: new RecoveryFolder(folder, systemClock, failures),
      failures,
    })
    this.#operations = operationsOf(filesystem, new Activity())
  }

  readonly orders: Readonly<
    Record<string, (tell: () => Promise<unknown>, change: () => Promise<unknown>) => Promise<void>>
  > = {
    'one after the other': async (tell, change) => {
      await tell()
      await change()
    },
    'the other way round': async (tell, change) => {
      await change()
      await tell()
    },
    'at once': async (tell, change) => {
      await Promise.all([tell(), change()])
    },
    'told from what was asked for before': (tell, change) =>
      around(this.#delays.hold('teller', 'after'), tell, change),
    'asked for late': (tell, change) => around(this.#delays.hold('teller', 'before'), tell, change),
    'told while the change is on its way': (tell, change) =>
      around(this.#delays.hold('changer', 'before'), change, tell),
    'told while the change is done and not answered': (tell, change) =>
      around(this.#delays.hold('changer', 'after'), change, tell),
  }

  async scene(isDirty: boolean): Promise<Scene> {
    const kernel = new KernelModel(this.#operations)
    this.#count += 1
    const listed = await kernel.mkdir(rootIno, `${this.#count}`)
    const beside = await kernel.mkdir(rootIno, `${this.#count}+`)
    const make = async (folder: number, name: string): Promise<void> => {
      const [ino, handle] = await kernel.create(folder, name)
      await kernel.release(ino, handle)
    }
    await make(listed, 'a')
    await make(listed, 'b')
    await make(beside, 'z')
    const [ino, handle] = await kernel.create(listed, 'x')
    await kernel.write(ino, handle, 0, Buffer.alloc(stored))
    await kernel.flush(ino, handle)
    await kernel.link(ino, beside, 'y')
    if (isDirty) await kernel.write(ino, handle, stored, Buffer.alloc(1000, 2))
    const listing = await kernel.opendir(listed)
    // Two folders and one name.
    await kernel.readdirplus(listed, listing, 0, 3 * 160)
    // What is remembered is too old to be told then.
    if (!this.#isAlone) {
      this.#clock.leap(1500)
      // The time of the servers goes by the monotonic clock, until they say what it is.
      await this.#client.cluster.ask([0, 1, 2, 3], 'status', () => ({}))
    }
    return { kernel, ino, handle, listed, listing, beside, size: stored + (isDirty ? 1000 : 0) }
  }

  async check(t: Test, what: string, tell: Teller, { run, becomes }: Changer): Promise<void> {
    for (const isDirty of [false, true]) {
      for (const [order, inOrder] of Object.entries(this.orders)) {
        const scene = await this.scene(isDirty)
        const { kernel, ino, size } = scene
        await inOrder(
          () => this.#delays.as('teller', () => tell(scene)),
          () => this.#delays.as('changer', () => run(scene)),
        )
        const name = `${what}, ${order}${isDirty ? ', written to before' : ''}`
        const expected = { size, nlink: 2, ...becomes?.(scene) }
        // Of links the kernel counts one less by itself, whatever it was told, and asks anew.
        t.match(kernel.inode(ino), { ...expected, nlink: Number }, name)
        t.same(kernel.wentBack, [], `${name}: the ctime does not go back`)
        await kernel.getattr(ino)
        t.match(kernel.inode(ino), expected, `${name}, asked again`)
      }
    }
  }
}

for (const isAlone of [true, false]) {
  t.test(isAlone ? 'a client that is alone' : 'one that is not', async (t) => {
    const clock = new LeapingClock()
    const client = await Client.open({
      network: tcpNetwork,
      clock,
      random: systemRandom,
      config: servers.config(isAlone ? 'alice' : 'bob', 10_000),
      lease: isAlone,
    })
    t.teardown(() => client.close())
    if (isAlone) await until(() => client.namespace.useLease() !== undefined)
    const stage = new Stage(client, clock, isAlone, t.testdir())
    t.test('a listing gives no name to a file that has lost it since', async (t) => {
      const { kernel, listed, listing, ino } = await stage.scene(false)
      const [after, handle] = await kernel.create(listed, 'new')
      await kernel.release(after, handle)
      await kernel.rename(listed, 'new', 'x', ino)
      const names = new Map(
        (await kernel.readdirplus(listed, listing, positionBehind('a'), 4096)).map(
          ({ name, told }) => [name, told],
        ),
      )
      t.ok(names.has('b'), 'the rest of it')
      t.notOk(names.has('a'))
      t.not(names.get('x'), ino)
      t.equal(await kernel.lookup(listed, 'x'), after)
    })
    t.test('a slow listing has attributes all the same', async (t) => {
      const { kernel, listed, listing, ino } = await stage.scene(false)
      const told = (await kernel.readdirplus(listed, listing, positionBehind('b'), 4096)).map(
        (one) => one.told,
      )
      t.same(told, [ino])
    })
    for (const [teller, tell] of Object.entries(tellers)) {
      t.test(`${teller} takes nothing back`, async (t) => {
        for (const [what, changer] of Object.entries(changers)) {
          await stage.check(t, what, tell, changer)
        }
      })
    }
    for (const [teller, tell] of Object.entries(lockingTellers)) {
      t.test(`${teller} takes nothing back`, async (t) => {
        for (const [what, changer] of Object.entries(changers)) {
          if (changer.isAlone !== true && changer.becomes === undefined) {
            const becomes = teller === 'a link' ? { becomes: () => ({ nlink: 3 }) } : {}
            await stage.check(t, what, tell, { ...changer, ...becomes })
          }
        }
      })
    }
  })
}
