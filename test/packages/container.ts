/**
 * The container file and the compose file of four servers. There is no container runtime in these tests: names and
 * paths in both are compared with the program, and what the containers run is run here, four times, and used.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { root } from '../docs/documents.js'
import { freePorts } from '../fixtures/free-ports.js'
import { openFolder } from '../fixtures/installed-programs.js'
import { spawnMortal, temporaryFolder } from '../fixtures/mortal.js'
import { until } from '../fixtures/servers.js'

const textOf = (file: string): string => readFileSync(join(root, 'container', file), 'utf8')

interface Service {
  readonly build: { readonly context: string; readonly dockerfile: string }
  readonly environment: Readonly<Record<string, string | number>>
  readonly secrets: readonly string[]
  readonly volumes: readonly string[]
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, null>>
  readonly secrets: Readonly<Record<string, { readonly file: string }>>
}

const compose: Compose = parse(textOf('compose.yaml'), { merge: true })
const containerfile = textOf('Containerfile')
const instructions = [...containerfile.matchAll(/^([A-Z]+) (.*)$/gm)].map(
  ([, word = '', rest = '']) => [word, rest] as const,
)
const instruction = (wanted: string): string =>
  instructions.findLast(([word]) => word === wanted)?.[1] ?? ''

t.test('the compose file has four servers with what the container file offers', async (t) => {
  const services = Object.values(compose.services)
  t.equal(services.length, 4)
  const variables = new Set([...textOf('serve').matchAll(/\$\{(DFS_\w+)/g)].map(([, name]) => name))
  for (const [index, { build, environment, volumes, secrets }] of services.entries()) {
    t.equal(build.context, '..')
    t.ok(existsSync(join(root, build.dockerfile)), build.dockerfile)
    for (const name of Object.keys(environment)) t.ok(variables.has(name), name)
    t.same([environment.DFS_HOST, environment.DFS_PORT], ['127.0.0.1', 10_001 + index])
    const [[volume = '', folder] = []] = volumes.map((line) => line.split(':'))
    t.ok(volume in compose.volumes && folder === instruction('VOLUME'), `${volume} on ${folder}`)
    for (const secret of secrets) {
      t.ok(secret in compose.secrets, secret)
      t.equal(environment.DFS_PASSWORD_FILE, `/run/secrets/${secret}`)
    }
  }
  t.equal(new Set(services.flatMap(({ volumes }) => volumes)).size, 4, 'a volume for each')
})

t.test('the container file copies what is there, and runs a Node that will do', async (t) => {
  for (const [word, rest] of instructions) {
    if (word === 'FROM') t.match(rest, /\/node:(22|24|26)-/)
    if (word !== 'COPY' || rest.startsWith('--from')) continue
    for (const file of rest.split(' ').slice(0, -1)) t.ok(existsSync(join(root, file)), file)
  }
  const [command = ''] = JSON.parse(instruction('CMD'))
  t.match(containerfile, `COPY container/${command} /usr/local/bin/${command}`)
  t.match(textOf('serve'), `:-${instruction('VOLUME')}}`)
  t.match(textOf('serve'), `:-${instruction('EXPOSE')}}`)
})

const noAccount = (): string | false => {
  if (process.getuid?.() !== 0) return 'only root can run a server as somebody else'
  const { status } = spawnSync('setpriv', [
    '--reuid',
    'nobody',
    'test',
    '-r',
    join(root, 'bin/dfc'),
  ])
  return status === 0 ? false : 'the project is in a folder for its owner alone'
}

t.test(
  'begun as root, the server runs as the account of the image',
  { skip: noAccount() },
  async (t) => {
    t.match(containerfile, /^ENV DFS_ACCOUNT=node$/m)
    const home = openFolder('dfs-container-')
    const password = join(home, 'password')
    writeFileSync(password, 'a word for root\n', { mode: 0o600 })
    const folder = join(home, 'data')
    mkdirSync(folder)
    const { NODE_OPTIONS: _, ...environment } = process.env
    const env = {
      ...environment,
      PATH: `${join(root, 'bin')}:${process.env.PATH}`,
      ...{ DFS_USER: 'alice', DFS_PASSWORD_FILE: password, DFS_FOLDER: folder },
      ...{ DFS_HOST: '127.0.0.1', DFS_PORT: String(await freePorts()), DFS_ACCOUNT: 'nobody' },
    }
    const child = spawnMortal(join(root, 'container/serve'), [], { env, cwd: home })
    t.teardown(() => child.kill('SIGKILL'))
    let said = ''
    child.stderr?.on('data', (bytes: Buffer) => {
      said += bytes.toString()
    })
    await until(() => /listens on/.test(said) || child.exitCode !== null)
    const { uid } = statSync(join(folder, 'dfs.conf'))
    t.not(uid, 0, said)
    t.match(
      readFileSync(`/proc/${child.pid}/status`, 'utf8'),
      `Uid:\t${uid}\t${uid}\t${uid}\t${uid}\n`,
    )
    t.equal(statSync(join(folder, 'identity.json')).uid, uid)
  },
)

t.test('four of what the containers run are a cluster, also when they start again', async (t) => {
  const home = temporaryFolder('dfs-container-')
  const password = join(home, 'password')
  writeFileSync(password, 'a word for all\n', { mode: 0o600 })
  const first = await freePorts()
  const { NODE_OPTIONS: _, DFC_CONFIG: __, ...environment } = process.env
  const env = { ...environment, HOME: home, PATH: `${join(root, 'bin')}:${process.env.PATH}` }
  const serve = join(root, 'container', instruction('CMD').replaceAll(/[["\]]/g, ''))

  const lacking = spawnSync(serve, { env: { ...env, DFS_FOLDER: home }, encoding: 'utf8' })
  t.not(lacking.status, 0)
  t.match(lacking.stderr, /DFS_USER: is not set: the account that may log in/)

  const start = async (more: NodeJS.ProcessEnv): Promise<() => Promise<void>> => {
    const servers = await Promise.all(
      [0, 1, 2, 3].map(async (index) => {
        const own = { DFS_FOLDER: join(home, `DFS${index + 1}`), DFS_PORT: String(first + index) }
        const given = { ...env, ...more, ...own, DFS_HOST: '127.0.0.1' }
        const child = spawnMortal(serve, [], { env: given, cwd: home })
        let said = ''
        child.stderr?.on('data', (bytes: Buffer) => {
          said += bytes.toString()
        })
        await until(() => /listens on/.test(said) || child.exitCode !== null)
        t.match(said, `DFS${index + 1} listens on 127.0.0.1:${first + index}`)
        return child
      }),
    )
    return async () => {
      for (const child of servers) child.kill('SIGTERM')
      await until(() =>
        servers.every(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null),
      )
    }
  }
  const dfc = (...words: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync('dfc', words, { env, cwd: home, encoding: 'utf8' })
    if (status !== 0) throw new Error(`dfc ${words.join(' ')}: ${stderr}${stdout}`)
    return stdout
  }
  const DFS_USER = String(compose.services.dfs1?.environment.DFS_USER)
  const stop = await start({ DFS_USER, DFS_PASSWORD_FILE: password })
  const servers = [0, 1, 2, 3].flatMap((index) => ['--server', `127.0.0.1:${first + index}`])
  dfc('init', '--user', DFS_USER, '--password-file', password, ...servers)
  dfc('put', 'password', 'kept')
  await stop()
  const stopAgain = await start({})
  t.equal(dfc('get', 'kept', '-'), 'a word for all\n')
  await stopAgain()
})
