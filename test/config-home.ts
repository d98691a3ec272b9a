/** Where configurations are looked for: in the order that the manual says, and nowhere else. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  clientConfigFile,
  configHome,
  localConfigFile,
  noClientConfig,
  serverConfigFile,
} from '../src/config-home.js'
import { dataHome, stateHome } from '../src/state-home.js'

interface Places {
  readonly own: string
  readonly system: string
  readonly environment: Record<string, string>
}

/** Makes a home and a folder of the machine, both without a configuration. */
function places(t: Test): Places {
  const home = t.testdir({ config: { dfs: {} }, etc: {}, data: { dfs: {} } })
  return {
    own: join(home, 'config/dfs/dfc.conf'),
    system: join(home, 'etc'),
    environment: { XDG_CONFIG_HOME: join(home, 'config'), XDG_DATA_HOME: join(home, 'data') },
  }
}

t.test(
  'the configuration of the client is that of DFC_CONFIG, of the user, of the machine',
  async (t) => {
    const { own, system, environment } = places(t)
    const find = (more = {}) => clientConfigFile({ ...environment, ...more }, system)
    t.equal(find(), undefined)
    const ofMachine = join(system, 'dfc.conf')
    writeFileSync(ofMachine, '')
    t.equal(find(), ofMachine)
    writeFileSync(own, '')
    t.equal(find(), own)
    t.equal(find({ DFC_CONFIG: '/nowhere.conf' }), '/nowhere.conf', 'also one that is not there')
    t.equal(find({ DFC_CONFIG: '' }), own, 'an empty variable counts as unset')
  },
)

t.test('the home for configurations is that of the XDG Base Directory Specification', async (t) => {
  t.equal(configHome({ XDG_CONFIG_HOME: '/x' }), '/x/dfs')
  for (const unset of [undefined, '', 'relative']) {
    t.equal(configHome({ XDG_CONFIG_HOME: unset, HOME: '/home/a' }), '/home/a/.config/dfs')
  }
})

t.test(
  'a home that is no absolute path counts as unset, so that nothing of the working folder is taken',
  async (t) => {
    for (const HOME of [undefined, '', 'relative', './.']) {
      t.equal(configHome({ HOME }), join(userInfo().homedir, '.config/dfs'))
      t.equal(stateHome({ HOME }), join(userInfo().homedir, '.local/state/dfs'))
      t.equal(
        dataHome({ HOME, XDG_DATA_HOME: 'relative' }),
        join(userInfo().homedir, '.local/share/dfs'),
      )
    }
  },
)

t.test('a link that leads nowhere hides what comes later', async (t) => {
  const { own, system, environment } = places(t)
  writeFileSync(join(system, 'dfc.conf'), '')
  symlinkSync('nowhere', own)
  t.equal(clientConfigFile(environment, system), own)
})

t.test(
  'a home that cannot be read is named',
  { skip: process.getuid?.() === 0 && 'root can read everything' },
  async (t) => {
    const { own, system, environment } = places(t)
    const folder = join(own, '..')
    chmodSync(folder, 0)
    t.teardown(() => chmodSync(folder, 0o700))
    t.throws(() => clientConfigFile(environment, system), {
      code: 'configuration',
      message: `${own}: cannot look for the configuration: Permission denied`,
    })
  },
)

t.test('a home that cannot be one is named', async (t) => {
  const { own, system, environment } = places(t)
  const loop = join(own, '../loop')
  symlinkSync('loop', loop)
  const home = { ...environment, XDG_CONFIG_HOME: loop }
  t.throws(() => clientConfigFile(home, system), {
    code: 'configuration',
    message: `${loop}/dfs/dfc.conf: cannot look for the configuration: Too many symbolic links encountered`,
  })
})

t.test(
  'the servers of --local have theirs, and a message says what to do without any',
  async (t) => {
    const { environment } = places(t)
    t.equal(localConfigFile(environment), undefined)
    const file = join(environment.XDG_DATA_HOME ?? '', 'dfs/dfc.conf')
    writeFileSync(file, '')
    t.equal(localConfigFile(environment), file)
    const { message } = noClientConfig(environment)
    t.match(
      message,
      /^there is no configuration: looked for \S+config\/dfs\/dfc\.conf and \/etc\/dfs\//,
    )
    t.match(message, '"dfc init" makes one')
  },
)

t.test(
  'the configuration of a server is the one in its folder, else that of the machine',
  async (t) => {
    const { system } = places(t)
    const folder = join(system, 'DFS1')
    t.equal(serverConfigFile(folder, system), join(system, 'dfs.conf'))
    mkdirSync(folder)
    writeFileSync(join(folder, 'dfs.conf'), '')
    t.equal(serverConfigFile(folder, system), join(folder, 'dfs.conf'))
  },
)
