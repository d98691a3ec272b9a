# Completion of dfs-server for bash. Made by "npm run docs" from the grammar of the program.
_dfs_server_words() {
  case $1 in
    '')
      options='--version --host --config --log --metrics -h --help'
      valued=' --host --config --log --metrics '
      files=' --config --log '
      commands='key init user'
      sources='local' ;;
    'key')
      options='-h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='local' ;;
    'init')
      options='--host --user --password-file -h --help --config'
      valued=' --host --user --password-file --config '
      files=' --password-file --config '
      commands=''
      sources='local' ;;
    'user')
      options='-h --help --config'
      valued=' --config '
      files=' --config '
      commands='add passwd quota trash remove list'
      sources='' ;;
    'user add')
      options='--config -h --help'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
    'user passwd')
      options='--config --keep-old -h --help'
      valued=' --config --keep-old '
      files=' --config '
      commands=''
      sources='' ;;
    'user quota')
      options='--config -h --help'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
    'user trash')
      options='--config -h --help'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
    'user remove')
      options='--config -h --help'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
    'user list')
      options='--config -h --help'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
  esac
}

_dfs_server() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command= position=0 index word kept options valued files commands sources source
  local -a config=() names=()
  COMPREPLY=()
  _dfs_server_words ''
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    if [[ $word == --config ]]; then config=(--config "${COMP_WORDS[index + 1]/#\~/$HOME}"); fi
    if [[ $valued == *" $word "* ]]; then
      ((++index))
    elif [[ $word != -* ]]; then
      if [[ " $commands " == *" $word "* ]]; then
        command="${command:+$command }$word"
        _dfs_server_words "$command"
      else
        ((++position))
      fi
    fi
  done
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
  if ((position == 0)); then sources=${sources%% *}; fi
  for source in $sources; do
    case $source in
      local) mapfile -t names < <(compgen -f -- "$current") ;;
      servers) mapfile -t names < <(compgen -W 'DFS1 DFS2 DFS3 DFS4' -- "$current") ;;
      remote)
        # Bash cuts what was typed at colons and the like, and replaces what is behind the last one.
        word=$current
        for ((index = COMP_CWORD - 1; index > 1; index--)); do
          [[ ${COMP_LINE:0:COMP_POINT} == *"${COMP_WORDS[index]}$word" ]] || break
          word=${COMP_WORDS[index]}$word
        done
        if [[ $current == [:=@] ]]; then kept=$word; else kept=${word%"$current"}; fi
        word=${word#[\"\']}
        mapfile -t names < <("${COMP_WORDS[0]/#\~/$HOME}" "${config[@]}" complete-names -- "${word//\\/}" 2>/dev/null)
        kept=${kept//\\/}
        names=("${names[@]#"$kept"}")
        ;;
    esac
    COMPREPLY+=("${names[@]}")
  done
  if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]]; then compopt -o nospace; fi
  # Bash quotes names, but for these two characters in a name that is no file here.
  if [[ $current != [\"\']* && "${COMPREPLY[*]}" == *[$\`]* ]]; then
    word='\ $`"'"'"'&();<>|*?[]{}!#~'
    for ((index = 0; index < ${#word}; index++)); do
      kept=${word:index:1}
      COMPREPLY=("${COMPREPLY[@]//"$kept"/"\\$kept"}")
    done
  elif [[ -n $sources ]]; then
    compopt -o filenames
  fi
}
complete -F _dfs_server dfs-server
