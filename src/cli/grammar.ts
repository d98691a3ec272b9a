/**
 * The grammar of operations, made of the table of commands, for lines of the prompt and for the arguments of the
 * program.
 */
import { type CommanderError, Command as Grammar, type HelpConfiguration } from 'commander'
import { DfsError } from '../errors.js'
import { versionOption } from '../version.js'
import type { Command, Options } from './commands/command.js'
import { commands } from './commands/table.js'
import { completeNames } from './complete-names.js'

/** A parsed operation. */
export interface Operation {
  readonly command: Command
  readonly operands: readonly string[]
  readonly options: Options
}

type Found = (operation: Operation) => void

/**
 * The parser for the arguments of the program. It throws CommanderError instead of ending the process, prints nothing
 * but help, and calls `found` with the operation, if there is one.
 */
export function argumentGrammar(found: Found): Grammar {
  const program = grammarOfAll('dfc', found, { subcommandTerm: termOf })
    .description(
      'The client for the files on the four servers. Without an operation it shows a prompt.',
    )
    .usage('[--config FILE] [OPERATION ...]')
    .version(...versionOption)
    .option('--config <file>', 'the configuration (or DFC_CONFIG in the environment)')
  // Shells use it, people do not.
  program.addCommand(grammarOf(completeNames, program, found), { hidden: true })
  return refuseUnknown(program, 'see dfc --help')
}

/**
 * The parser for a line of the prompt. It throws CommanderError instead of ending the process. EXIT is in its help
 * only: the prompt itself understands it.
 */
export function promptGrammar(found: Found): Grammar {
  const program = grammarOfAll('OPERATION', found, {
    subcommandTerm: (grammar) => termOf(grammar).replace(/^[\w-]+/, (name) => name.toUpperCase()),
    commandUsage: (grammar) => `${grammar.name().toUpperCase()} ${grammar.usage()}`,
    visibleOptions: (grammar) => [...grammar.options],
  }).usage('[...]')
  program.command('exit').summary('leave the prompt, as the end of the input does')
  return refuseUnknown(program, 'try HELP')
}

/** Converts an operation in capitals, as the classic client shows it, to lower case. */
export function lowerCaseOperation(word: string): string {
  const lower = word.toLowerCase()
  const known = lower === 'help' || commands.some(({ name }) => name === lower)
  return known && word === word.toUpperCase() ? lower : word
}

/** Describes a mistake in the words of an operation in one line. */
export function usageFault(error: CommanderError): DfsError {
  // Commander answers help about an unknown operation with the whole help, which is not printed then.
  if (error.code === 'commander.help') return new DfsError('invalid', 'no such operation')
  const sentence = error.message.replace(/^error: /, '').replaceAll('\n', ' ')
  return new DfsError('invalid', sentence, { cause: error })
}

function grammarOfAll(name: string, found: Found, help: HelpConfiguration): Grammar {
  const program = new Grammar(name)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .configureHelp(help)
    .helpCommand('help [operation]', 'show help')
  for (const command of commands) program.addCommand(grammarOf(command, program, found))
  return program
}

function grammarOf(command: Command, program: Grammar, found: Found): Grammar {
  const { name, operands, operandsMin, operandsMax, summary, details, faultIn } = command
  const grammar = new Grammar(name)
    .copyInheritedSettings(program)
    .summary(summary)
    .description(details === undefined ? summary : `${summary}\n\n${details}`)
    .argument('[operands...]')
    .usage(usageOf(command))
  const repeated: [string, string][] = []
  for (const [flags, description, mayRepeat] of command.options) {
    if (mayRepeat === undefined) grammar.option(flags, description)
    else {
      const option = grammar.createOption(flags, description)
      const collect = (value: string): typeof repeated => {
        repeated.push([option.attributeName(), value])
        return repeated
      }
      grammar.addOption(option.argParser(collect))
    }
  }
  return grammar.action((given: string[]) => {
    if (given.length < operandsMin || given.length > operandsMax) {
      const fault = given.length < operandsMin ? 'too few operands' : 'too many operands'
      grammar.error(`${fault}: ${name} takes ${operands || 'none'}`)
    }
    const options: Options = grammar.opts()
    const fault = faultIn?.(given, options)
    if (fault !== undefined) grammar.error(fault)
    found({ command, operands: given, options })
  })
}

/** The operands behind the name of an operation. Commander shows words of its own where it gets none. */
function usageOf({ options, operands }: Command): string {
  if (operands === '') return '[options]'
  return options.length === 0 ? operands : `[options] ${operands}`
}

function refuseUnknown(program: Grammar, hint: string): Grammar {
  return program.argument('[operation...]').action(([unknown]: string[]) => {
    if (unknown !== undefined) program.error(`unknown operation '${unknown}': ${hint}`)
  })
}

function termOf(grammar: Grammar): string {
  const command = commands.find(({ name }) => name === grammar.name())
  const operands = command?.operands ?? (grammar.name() === 'help' ? '[operation]' : '')
  return `${grammar.name()} ${operands}`.trimEnd()
}
