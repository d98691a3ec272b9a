/** Completions for bash, zsh and fish, made of the grammars of the programs. */
import type { Command, Option } from 'commander'
import {
  commandsOf,
  namesFile,
  optionsOf,
  type Program,
  pathsOf,
  programs,
  takesValue,
} from './programs.js'

/** The text of each file, by its path. */
export function completions(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    programs.flatMap((program) => [
      [`completions/${program.name}.bash`, bash(program)],
      [`completions/_${program.name}`, zsh(program)],
      [`completions/${program.name}.fish`, fish(program)],
    ]),
  )
}

const madeBy = 'Made by "npm run docs" from the grammar of the program.'

/** The options of a command, and those of the program itself, which may stand anywhere. */
function allOptions({ grammar }: Program, command: Command): readonly Option[] {
  const own = optionsOf(command)
  const names = new Set(own.map(({ long }) => long))
  const shared = optionsOf(grammar).filter(({ long }) => long === '--config' && !names.has(long))
  return [...own, ...shared]
}

const flagsOf = ({ short, long }: Option): string => [short, long].filter(Boolean).join(' ')

const functionOf = (name: string): string => `_${name.replaceAll('-', '_')}`

// -- bash and zsh ----------------------------------------------------------------------------------

/** A shell function that sets what can follow the words of a command. */
function tableOf(program: Program): string {
  const rows = pathsOf(program.grammar).map(([path, command]) => {
    const options = allOptions(program, command)
    const words = (some: readonly Option[]): string => some.map(flagsOf).join(' ')
    return `    '${path}')
      options='${words(options)}'
      valued=' ${words(options.filter(takesValue))} '
      files=' ${words(options.filter(namesFile))} '
      commands='${commandsOf(command)
        .map((below) => below.name())
        .join(' ')}'
      sources='${program.sources(path).join(' ')}' ;;`
  })
  return `${functionOf(program.name)}_words() {
  case $1 in
${rows.join('\n')}
  esac
}`
}

interface ShellWords {
  /** Index of the first word behind the program, and the variable with that of the word that is completed. */
  readonly first: number
  readonly end: string
  /** The array of all words, and the flag of an expansion that takes the quotes from one. */
  readonly words: string
  readonly unquoted: string
}

/** Shell code that goes through the words in front of the one that is completed. */
function readingOf(name: string, { first, end, words, unquoted }: ShellWords): string {
  return `  ${name}_words ''
  for ((index = ${first}; index < ${end}; index++)); do
    word=\${${words}[index]}
    if [[ $word == --config ]]; then config=(--config "\${${unquoted}${words}[index + 1]/#\\~/$HOME}"); fi
    if [[ $valued == *" $word "* ]]; then
      ((++index))
    elif [[ $word != -* ]]; then
      if [[ " $commands " == *" $word "* ]]; then
        command="\${command:+$command }$word"
        ${name}_words "$command"
      else
        ((++position))
      fi
    fi
  done`
}

function bash(program: Program): string {
  const name = functionOf(program.name)
  return `# Completion of ${program.name} for bash. ${madeBy}
${tableOf(program)}

${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]}
  local command= position=0 index word kept options valued files commands sources source
  local -a config=() names=()
  COMPREPLY=()
${readingOf(name, { first: 1, end: 'COMP_CWORD', words: 'COMP_WORDS', unquoted: '' })}
  if ((COMP_CWORD > 1)) && [[ $valued == *" $previous "* ]]; then
    if [[ $files == *" $previous "* ]]; then compopt -o default; fi
    return
  fi
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    return
  fi
  if ((position == 0)) && [[ -n $commands ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
  fi
  # The first operand is of the first kind; those behind it may be of any.
  if ((position == 0)); then sources=\${sources%% *}; fi
  for source in $sources; do
    case $source in
      local) mapfile -t names < <(compgen -f -- "$current") ;;
      servers) mapfile -t names < <(compgen -W 'DFS1 DFS2 DFS3 DFS4' -- "$current") ;;
      remote)
        # Bash cuts what was typed at colons and the like, and replaces what is behind the last one.
        word=$current
        for ((index = COMP_CWORD - 1; index > 1; index--)); do
          [[ \${COMP_LINE:0:COMP_POINT} == *"\${COMP_WORDS[index]}$word" ]] || break
          word=\${COMP_WORDS[index]}$word
        done
        if [[ $current == [:=@] ]]; then kept=$word; else kept=\${word%"$current"}; fi
        word=\${word#[\\"\\']}
        mapfile -t names < <("\${COMP_WORDS[0]/#\\~/$HOME}" "\${config[@]}" complete-names -- "\${word//\\\\/}" 2>/dev/null)
        kept=\${kept//\\\\/}
        names=("\${names[@]#"$kept"}")
        ;;
    esac
    COMPREPLY+=("\${names[@]}")
  done
  if [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == */ ]]; then compopt -o nospace; fi
  # Bash quotes names, but for these two characters in a name that is no file here.
  if [[ $current != [\\"\\']* && "\${COMPREPLY[*]}" == *[$\\\`]* ]]; then
    word='\\ $\`"'"'"'&();<>|*?[]{}!#~'
    for ((index = 0; index < \${#word}; index++)); do
      kept=\${word:index:1}
      COMPREPLY=("\${COMPREPLY[@]//"$kept"/"\\\\$kept"}")
    done
  elif [[ -n $sources ]]; then
    compopt -o filenames
  fi
}
complete -F ${name} ${program.name}
`
}

function zsh(program: Program): string {
  const name = functionOf(program.name)
  return `#compdef ${program.name}
# Completion of ${program.name} for zsh. ${madeBy}
${tableOf(program)}

${name}() {
  local command= position=0 index word options valued files commands sources source
  local -a config names
${readingOf(name, { first: 2, end: 'CURRENT', words: 'words', unquoted: '(Q)' })}
  word=\${words[CURRENT - 1]}
  if ((CURRENT > 2)) && [[ $valued == *" $word "* ]]; then
    if [[ $files == *" $word "* ]]; then _files; fi
    return
  fi
  if [[ \${words[CURRENT]} == -* ]]; then
    compadd -- \${=options}
    return
  fi
  if ((position == 0)) && [[ -n $commands ]]; then compadd -- \${=commands}; fi
  # The first operand is of the first kind; those behind it may be of any.
  if ((position == 0)); then sources=\${sources%% *}; fi
  for source in \${=sources}; do
    case $source in
      local) _files ;;
      servers) compadd -- DFS1 DFS2 DFS3 DFS4 ;;
      remote)
        names=("\${(@f)$(\${(Q)words[1]/#\\~/$HOME} $config complete-names -- "\${(Q)PREFIX}" 2>/dev/null)}")
        compadd -S '' -- \${(M)names:#*/}
        compadd -- \${names:#*/}
        ;;
    esac
  done
}
if [[ $funcstack[1] == _${program.name} ]]; then ${name} "$@"; else compdef ${name} ${program.name}; fi
`
}

// -- fish ------------------------------------------------------------------------------------------

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** A function that offers names on the servers. Fish has the word as it was typed, with its quotes. */
const namesInFish = `
function __dfc_names
  set -l typed (commandline -ct)
  for open in '' \\' '"'
    set -l plain (string unescape -- "$typed$open"); or continue
    dfc complete-names -- "$plain" 2>/dev/null
    return
  end
end

`

function fish(program: Program): string {
  const lines = pathsOf(program.grammar).flatMap(([path, command]) =>
    fishLines(program, path, command),
  )
  return `# Completion of ${program.name} for fish. ${madeBy}
complete -c ${program.name} -f
${program.name === 'dfc' ? namesInFish : ''}${lines.join('\n')}
`
}

function fishLines(program: Program, path: string, command: Command): readonly string[] {
  const { name } = program
  const below = commandsOf(command).map((one) => one.name())
  const words = path.split(' ').filter((word) => word !== '')
  const conditions = [
    ...words.map((word) => `__fish_seen_subcommand_from ${word}`),
    ...(below.length > 0 ? [`not __fish_seen_subcommand_from ${below.join(' ')}`] : []),
  ]
  const when = conditions.length === 0 ? '' : ` -n ${quoted(conditions.join('; and '))}`
  const options = allOptions(program, command).map((option) => {
    const { short, long, description } = option
    const letters = short === undefined ? '' : ` -s ${short.slice(1)}`
    const word = long === undefined ? '' : ` -l ${long.slice(2)}`
    const value = takesValue(option) ? (namesFile(option) ? ' -r -F' : ' -x') : ''
    return `complete -c ${name}${when}${letters}${word}${value} -d ${quoted(description)}`
  })
  const commands = commandsOf(command).map(
    (one) => `complete -c ${name}${when} -a ${one.name()} -d ${quoted(summaryOf(one))}`,
  )
  // The first operand is of the first kind; those behind it may be of any.
  const behind = `test (count (commandline -opc)) -gt ${words.length + 1}`
  const sources = program.sources(path).map((source, index) => {
    const place = [...conditions, ...(index === 0 ? [] : [behind])].join('; and ')
    return `complete -c ${name}${place === '' ? '' : ` -n ${quoted(place)}`} ${offers[source]}`
  })
  return [...options, ...commands, ...sources]
}

const offers = {
  local: '-F',
  servers: "-a 'DFS1 DFS2 DFS3 DFS4'",
  // Words in front, such as --config FILE, are not handed on: fish completes for the usual configuration.
  remote: "-a '(__dfc_names)'",
} as const

function summaryOf(command: Command): string {
  return command.summary() || command.description()
}
