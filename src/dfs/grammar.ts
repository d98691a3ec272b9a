/** The words of dfs-server: options, operands and commands, with what is called for each. */
import { Command, InvalidArgumentError } from 'commander'
import { serverFileName } from '../config-home.js'
import { versionOption } from '../version.js'
import type { SetupOptions } from './setup.js'
import { assertServersRead, systemUsersFile, unitsFolder } from './users/default-file.js'
import { type UserCommand, type UserOptions, userCommands } from './users/user-commands.js'

export interface ServeOptions {
  readonly host: string
  readonly config?: string
  readonly log?: string
  readonly metrics?: string
}

/** The work behind each command. */
export interface ServerActions {
  readonly serve: (folder: string, port: string, options: ServeOptions) => Promise<void>
  readonly key: (folder: string) => Promise<void>
  readonly init: (folder: string, port: string, options: SetupOptions) => Promise<void>
  /** Runs a command for a user, with the arguments that it takes. */
  readonly user: (
    command: UserCommand,
    config: string,
    words: readonly string[],
    options: UserOptions,
  ) => Promise<void>
}

export function serverGrammar(actions: ServerActions): Command {
  const program = new Command('dfs-server')
    .description('Runs one of the four servers that store the pieces.')
    .version(...versionOption)
    .enablePositionalOptions()
    .exitOverride()
    .argument('<folder>', 'where the server stores its data; created if missing', named)
    .argument('<port>', 'TCP port, 1 to 65535; 0 picks a free one')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option(
      '--config <file>',
      `the file with the users; ${serverFileName} in the folder, else ${systemUsersFile}`,
    )
    .option('--log <file>', 'write the log to this file; SIGHUP reopens it')
    .option('--metrics <address>', 'serve metrics for Prometheus there, such as 127.0.0.1:9464')
    .action(actions.serve)

  program
    .command('key')
    .argument('<folder>', '', named)
    .description("Print the name of a server's key. Make the key if there is none.")
    .action(actions.key)

  program
    .command('init')
    .argument('<folder>', '', named)
    .argument('<port>')
    .description('Set up the folder of a server: a user, a key and the address to listen on.')
    .option('--host <address>', 'address to listen on; asked for on a terminal, else 127.0.0.1')
    .option('--user <name>', 'the user that may log in; asked for on a terminal')
    .option('--password-file <file>', 'a file whose first line is the password (or DFC_PASSWORD)')
    .action(actions.init)

  const user = program.command('user').description('Change the users who may log in.')
  for (const [name, command] of Object.entries<UserCommand>(userCommands)) {
    user.addCommand(userGrammar(name, command, actions))
  }
  return program
}

/** Returns the folder. An empty word, such as that of an unset variable in a script, would be the working folder. */
function named(folder: string): string {
  if (folder !== '') return folder
  throw new InvalidArgumentError('The name of the folder is empty.')
}

function userGrammar(name: string, command: UserCommand, { user }: ServerActions): Command {
  const operands = command.takes.split(' ').filter((word) => word !== '')
  const grammar = new Command(name)
    .exitOverride()
    .description(command.description)
    .option('--config <file>', 'the file to edit', systemUsersFile)
  for (const operand of operands) grammar.argument(operand)
  for (const [flags, description] of command.options ?? []) grammar.option(flags, description)
  return grammar.action(async () => {
    const { config, ...options } = grammar.opts<{ config: string } & UserOptions>()
    if (grammar.getOptionValueSource('config') === 'default') assertServersRead(config, unitsFolder)
    await user(command, config, grammar.args, options)
  })
}
