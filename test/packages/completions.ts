/** Completions of bash, zsh and fish: operations, options, and names on real servers. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { completions } from '../docs/completions.js'
import { root } from '../docs/documents.js'
import { pathsOf, programs } from '../docs/programs.js'
import { confOf } from '../fixtures/client.js'
import { isInstalled } from '../fixtures/installed.js'
import { temporaryFolder } from '../fixtures/mortal.js'
import { startServerProcesses } from '../fixtures/servers.js'

const skipWithout = (shell: string): string | false =>
  isInstalled(shell) ? false : `${shell} is not installed`

/** Each shell offers what can stand at the end of these words; a line for each offer. */
const shells: Readonly<Record<string, (program: string, words: readonly string[]) => string>> = {
  bash: (program, words) => `source ${root}/completions/${program}.bash
    compopt() { echo "compopt $*" >&2; }
    COMP_WORDS=(${program} ${words.map(quoted).join(' ')}) COMP_CWORD=${words.length}
    _${program.replace('-', '_')}; printf '%s\\n' "\${COMPREPLY[@]}"`,
  // Zsh completes on a terminal only. Beyond it, its compadd is the one word that is missing.
  zsh: (program, words) => `compdef() { : }; source ${root}/completions/_${program}
    compadd() { while [[ $1 == -* ]]; do [[ $1 == -S ]] && shift; last=$1; shift; [[ $last == -- ]] && break; done
      print -rl -- \${(M)@:#\${words[CURRENT]}*} }
    _files() { print -rl -- \${words[CURRENT]}*(N) }
    words=(${program} ${words.map(quoted).join(' ')}) CURRENT=${words.length + 1} PREFIX=${quoted(words.at(-1) ?? '')}
    _${program.replace('-', '_')}`,
  fish: (program, words) => `source ${root}/completions/${program}.fish
    complete -C ${quoted([program, ...words].join(' '))} | string replace -r '\\t.*' ''`,
}

/** How each shell begins at a terminal: its flags, and a line that loads the completion of dfc. */
const atTerminal: Readonly<Record<string, { flags: readonly string[]; begin: string }>> = {
  bash: { flags: ['--norc', '-i'], begin: `source ${root}/completions/dfc.bash` },
  zsh: {
    flags: ['-f', '-i'],
    begin: `fpath+=(${root}/completions); autoload -Uz compinit; compinit -u -D`,
  },
  fish: { flags: ['--no-config', '-i'], begin: `source ${root}/completions/dfc.fish` },
}
const terminal = join(root, 'test/fixtures/terminal.py')

t.setTimeout(120_000)

const quoted = (text: string): string => `'${text}'`

t.test('the completions are as `npm run docs` writes them', async (t) => {
  for (const [file, text] of Object.entries(completions())) {
    t.equal(readFileSync(join(root, file), 'utf8'), text, file)
  }
})

t.test('shells offer commands, options and names on the servers', async (t) => {
  const servers = await startServerProcesses(t)
  const home = temporaryFolder('dfs-complete-')
  const config = join(home, 'dfc.conf')
  writeFileSync(config, confOf(servers.config()), { mode: 0o600 })
  mkdirSync(join(home, 'local'))
  writeFileSync(join(home, 'local', 'reminder'), 'text')
  const env = {
    PATH: `${root}/bin:${process.env.PATH}`,
    HOME: home,
    DFC_CONFIG: config,
    LC_ALL: 'C.UTF-8',
  }
  const dfc = (...words: string[]): string =>
    execFileSync('dfc', words, { env, cwd: home, encoding: 'utf8' })
  dfc('mkdir', 'records')
  dfc('put', 'local/reminder', 'records/report one')
  dfc('put', 'local/reminder', 'records/12:30 noon')
  dfc('put', 'local/reminder', 'records/pay $HOME `id`')
  dfc('put', 'local/reminder', 'remote')

  for (const [shell, lines] of Object.entries(shells)) {
    t.test(shell, { skip: skipWithout(shell) }, async (t) => {
      const offers = (program: string, ...words: string[]): string[] => {
        const flags = shell === 'zsh' ? ['-f'] : shell === 'bash' ? ['--norc'] : ['--no-config']
        const options = {
          env,
          cwd: join(home, 'local'),
          encoding: 'utf8',
          timeout: 30_000,
        } as const
        const { stdout } = spawnSync(shell, [...flags, '-c', lines(program, words)], options)
        return stdout
          .split('\n')
          .filter((line) => line !== '')
          .sort()
      }
      t.same(offers('dfc', 'w'), ['web', 'what-if', 'why'])
      t.same(offers('dfc', 'sync', '--d'), ['--delete', '--down', '--dry-run'])
      t.same(offers('dfc', 'get', 're'), ['records/', 'remote'], 'names on the servers alone')
      t.same(offers('dfc', 'get', 'records/re'), ['records/report one'])
      t.ok(offers('dfc', 'put', 're').includes('reminder'), 'local names')
      t.same(offers('dfc', 'trust', 'D'), ['DFS1', 'DFS2', 'DFS3', 'DFS4'])
      t.same(offers('dfs-server', 'user', 'pass'), ['passwd'])
      t.same(offers('dfs-server', 'user', 'passwd', '--k'), ['--keep-old'])
      t.same(offers('dfs-mount', '--un'), ['--unmount'])

      // A shell cuts and quotes words itself: the key is pressed at a terminal.
      const { flags, begin } = atTerminal[shell] ?? { flags: [], begin: '' }
      // The quotes keep what is typed from being taken for what it prints.
      const dialogue = [
        ['', `${begin}; echo be''gun`],
        ['begun', `dfc info "records/re\t > quoted; echo fi''rst`],
        ['first', `dfc info records/report\\ o\t > escaped; echo sec''ond`],
        ['second', `dfc info records/12:\t > colon; echo th''ird`],
        ['third', `dfc info records/p\t > expanded; echo fou''rth`],
        ['fourth', 'exit'],
      ]
      const words = [terminal, JSON.stringify(dialogue), shell, ...flags]
      spawnSync('python3', words, { env: { ...env, PS1: '> ', TERM: 'dumb' }, cwd: home })
      const told = (file: string): string => readFileSync(join(home, file), 'utf8')
      t.match(told('quoted'), 'records/report one')
      t.match(told('escaped'), 'records/report one')
      t.match(told('colon'), 'records/12:30 noon')
      t.match(told('expanded'), 'records/pay $HOME `id`', 'the shell runs nothing in a name')
    })
  }
})

t.test('every command of each program is offered by each shell', async (t) => {
  const texts = completions()
  for (const { name, grammar } of programs) {
    for (const [path, command] of pathsOf(grammar)) {
      if (path === '') continue
      for (const file of [`${name}.bash`, `_${name}`, `${name}.fish`]) {
        t.match(texts[`completions/${file}`], command.name(), `${file}: ${path}`)
      }
    }
  }
})
