import { CommanderError } from 'commander'
import t from 'tap'
import { commands } from '../../src/cli/commands/table.js'
import {
  argumentGrammar,
  lowerCaseOperation,
  type Operation,
  promptGrammar,
  usageFault,
} from '../../src/cli/grammar.js'

/** Parses words and returns the operation, if any. Commander throws an error for each refusal. */
function parse(words: readonly string[], grammarOf = promptGrammar) {
  let found: Operation | undefined
  const grammar = grammarOf((operation) => {
    found = operation
  })
  let printed = ''
  const writeOut = (text: string): void => {
    printed += text
  }
  for (const each of [grammar, ...grammar.commands]) each.configureOutput({ writeOut })
  try {
    grammar.parse(words, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return { printed, status: error.exitCode, fault: usageFault(error).message }
  }
  return {
    name: found?.command.name,
    operands: found?.operands,
    options: { ...found?.options },
    config: grammar.opts().config as unknown,
  }
}

t.test('understands the same operations at the prompt and as arguments', async (t) => {
  for (const grammarOf of [promptGrammar, argumentGrammar]) {
    t.match(parse(['put', 'a b', 'c'], grammarOf), {
      name: 'put',
      operands: ['a b', 'c'],
      options: {},
    })
    t.match(parse(['get', 'a', '-r'], grammarOf), { name: 'get', options: { recursive: true } })
    t.match(parse(['list', '-l'], grammarOf), { name: 'list', options: { long: true } })
    t.match(parse(['rm', '-rf', '--', '-r'], grammarOf), {
      operands: ['-r'],
      options: { recursive: true, force: true },
    })
  }
})

t.test('takes the configuration before or behind the operation', async (t) => {
  t.match(parse(['--config', 'x', 'list'], argumentGrammar), { name: 'list', config: 'x' })
  t.match(parse(['list', '--config', 'x'], argumentGrammar), { name: 'list', config: 'x' })
})

t.test('a line without an operation gives none', async (t) => {
  t.match(parse([], argumentGrammar), { name: undefined })
})

t.test('reports a mistake in one line', async (t) => {
  const faults: readonly (readonly [words: readonly string[], fault: string])[] = [
    [['frobnicate'], "unknown operation 'frobnicate': try HELP"],
    [['put'], 'too few operands: put takes FILE... [REMOTE]'],
    [['mv', 'a'], 'too few operands: mv takes NAME... TARGET'],
    [['list', 'a', 'b'], 'too many operands: list takes [FOLDER]'],
    [['status', 'x'], 'too many operands: status takes none'],
    [['list', '--nope'], "unknown option '--nope'"],
    [['help', 'frobnicate'], 'no such operation'],
  ]
  for (const [words, fault] of faults)
    t.match(parse(words), { fault, printed: '' }, words.join(' '))
})

t.test('help names every operation, and is no failure', async (t) => {
  const help = parse(['help'])
  t.equal(help.status, 0)
  for (const { name } of commands) t.match(help.printed, `  ${name.toUpperCase()}`)
  t.match(help.printed, '  EXIT  ')
  t.match(parse(['help', 'put']).printed, /^Usage: PUT \[options\] FILE\.\.\. \[REMOTE\]\n/)
  t.match(parse(['help', 'status']).printed, /^Usage: STATUS \[options\]\n/)
  t.match(parse(['help', 'mv']).printed, /^Usage: MV NAME\.\.\. TARGET\n/)
  t.match(parse(['--help'], argumentGrammar).printed, /^Usage: dfc /)
})

t.test('help is broken into lines for the width of the terminal, and nowhere else', async (t) => {
  for (const { name, summary, details = '' } of commands) t.notMatch(summary + details, '\n', name)
})

t.test('operations may be typed in capitals, names are left alone', async (t) => {
  t.equal(lowerCaseOperation('LIST'), 'list')
  t.equal(lowerCaseOperation('HELP'), 'help')
  t.equal(lowerCaseOperation('list'), 'list')
  t.equal(lowerCaseOperation('FILE'), 'FILE')
})

t.test('SYNC says which way, and takes folders', async (t) => {
  const fault = /^say which way: sync --up LOCAL REMOTE, or sync --down REMOTE LOCAL$/
  for (const grammarOf of [promptGrammar, argumentGrammar]) {
    t.match(parse(['sync', 'a', 'b'], grammarOf), { fault })
    t.match(parse(['sync', '--up', '--down', 'a', 'b'], grammarOf), { fault })
    t.match(parse(['sync', '--up', '-', 'b'], grammarOf), { fault: /two folders, and no stream$/ })
    t.match(parse(['sync', '--up', 'a', 'b'], grammarOf), { operands: ['a', 'b'] })
  }
})
