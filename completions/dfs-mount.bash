# Completion of dfs-mount for bash. Made by "npm run docs" from the grammar of the program.
_dfs_mount_words() {
  case $1 in
    '')
      options='--version --config --local --port --foreground --log --metrics --unmount --wait -o --option -h --help'
      valued=' --config --port --log --metrics --wait -o --option '
      files=' --config --local --log '
      commands=''
      sources='local' ;;
  esac
}

_dfs_mount() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command= position=0 index word options valued files commands sources source
  local -a config=() names=()
  COMPREPLY=()
  _dfs_mount_words ''
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    if [[ $word == --config ]]; then config=(--config "${COMP_WORDS[index + 1]/#\~/$HOME}"); fi
    if [[ $valued == *" $word "* ]]; then
      ((++index))
    elif [[ $word != -* ]]; then
      if [[ " $commands " == *" $word "* ]]; then
        command="${command:+$command }$word"
        _dfs_mount_words "$command"
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
        word=${current#[\"\']}
        mapfile -t names < <("${COMP_WORDS[0]/#\~/$HOME}" "${config[@]}" complete-names -- "${word//\\/}" 2>/dev/null)
        ;;
    esac
    COMPREPLY+=("${names[@]}")
  done
  if [[ -n $sources ]]; then compopt -o filenames; fi
  if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]]; then compopt -o nospace; fi
}
complete -F _dfs_mount dfs-mount
