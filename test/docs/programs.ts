/** The programs with their grammars, as man pages and completions are made of them. */
import type { Command, Option } from 'commander'
import { commands } from '../../src/cli/commands/table.js'
import { argumentGrammar } from '../../src/cli/grammar.js'
import { serverGrammar } from '../../src/dfs/grammar.js'
import { mountGrammar } from '../../src/fuse/grammar.js'

/** Things that a word may name, which a shell can complete. */
export type Source = 'local' | 'remote' | 'servers'

export interface Program {
  readonly name: string
  readonly grammar: Command
  /** Sources of the first operand of a command; `''` is the program itself. */
  readonly sources: (path: string) => readonly Source[]
}

const nothing = async (): Promise<void> => undefined

export const programs: readonly Program[] = [
  { name: 'dfc', grammar: argumentGrammar(() => undefined), sources: sourcesOfOperation },
  { name: 'dfs-mount', grammar: mountGrammar(), sources: () => ['local'] },
  {
    name: 'dfs-server',
    grammar: serverGrammar({ serve: nothing, key: nothing, init: nothing, user: nothing }),
    sources: (path) => (/^user/.test(path) ? [] : ['local']),
  },
]

/** The options that a user may type, with those for help and version. */
export function optionsOf(grammar: Command): readonly Option[] {
  return grammar.createHelp().visibleOptions(grammar)
}

/** The commands that a user may type, without `help`, which each program has. */
export function commandsOf(grammar: Command): readonly Command[] {
  return grammar
    .createHelp()
    .visibleCommands(grammar)
    .filter((command) => command.name() !== 'help')
}

/** All grammars of a program with the words that lead to them, `''` for the first. */
export function pathsOf(grammar: Command, path = ''): readonly (readonly [string, Command])[] {
  const below = commandsOf(grammar).flatMap((command) =>
    pathsOf(command, `${path} ${command.name()}`.trim()),
  )
  return [[path, grammar], ...below]
}

/** Whether the value of an option names a file or a folder. */
export function namesFile({ flags }: Option): boolean {
  return /[<[](file|folder)(\.\.\.)?[>\]]/i.test(flags)
}

/** Whether an option takes the next word in any case. */
export function takesValue(option: Option): boolean {
  return option.required
}

function sourcesOfOperation(path: string): readonly Source[] {
  if (path === 'trust') return ['servers']
  if (path === 'doctor') return ['local']
  return commands.find(({ name }) => name === path)?.completes ?? []
}
