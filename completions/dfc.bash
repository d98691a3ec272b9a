# Completion of dfc for bash. Made by "npm run docs" from the grammar of the program.
_dfc_words() {
  case $1 in
    '')
      options='--version --config -h --help'
      valued=' --config '
      files=' --config '
      commands='list get put sync mkdir rm mv info trash versions status what-if why heal verify web top trust init server passwd doctor'
      sources='' ;;
    'list')
      options='-l --long --json -h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='remote' ;;
    'get')
      options='-r --recursive --skip-same --checksum --exclude --include --resume --stats --at -h --help --config'
      valued=' --exclude --include --at --config '
      files=' --config '
      commands=''
      sources='remote local' ;;
    'put')
      options='-r --recursive --skip-same --checksum --exclude --include --from-command --stats -h --help --config'
      valued=' --exclude --include --config '
      files=' --config '
      commands=''
      sources='local remote' ;;
    'sync')
      options='--up --down -n --dry-run --delete --checksum --exclude --include --resume -h --help --config'
      valued=' --exclude --include --config '
      files=' --config '
      commands=''
      sources='local remote' ;;
    'mkdir')
      options='-p --parents -h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='remote' ;;
    'rm')
      options='-r --recursive -f --force -h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='remote' ;;
    'mv')
      options='-h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='remote' ;;
    'info')
      options='-h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='remote' ;;
    'trash')
      options='-a --all --json --to -f --force --older -h --help --config'
      valued=' --to --older --config '
      files=' --config '
      commands=''
      sources='' ;;
    'versions')
      options='--json -h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='remote' ;;
    'status')
      options='--json --wait -h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
    'what-if')
      options='--down --all --json -h --help --config'
      valued=' --down --config '
      files=' --config '
      commands=''
      sources='' ;;
    'why')
      options='--json -h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='remote' ;;
    'heal')
      options='--thorough --without -h --help --config'
      valued=' --without --config '
      files=' --config '
      commands=''
      sources='' ;;
    'verify')
      options='-h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
    'web')
      options='--port -h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
    'top')
      options='--once --json -h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
    'trust')
      options='-h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='servers' ;;
    'init')
      options='--server --user --password-file --output --force --mount -h --help --config'
      valued=' --server --user --password-file --output --mount --config '
      files=' --password-file --output --mount --config '
      commands=''
      sources='' ;;
    'server')
      options='--force --wait -h --help --config'
      valued=' --wait --config '
      files=' --config '
      commands=''
      sources='' ;;
    'passwd')
      options='-h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='' ;;
    'doctor')
      options='-h --help --config'
      valued=' --config '
      files=' --config '
      commands=''
      sources='local' ;;
  esac
}

_dfc() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command= position=0 index word kept options valued files commands sources source
  local -a config=() names=()
  COMPREPLY=()
  _dfc_words ''
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    if [[ $word == --config ]]; then config=(--config "${COMP_WORDS[index + 1]/#\~/$HOME}"); fi
    if [[ $valued == *" $word "* ]]; then
      ((++index))
    elif [[ $word != -* ]]; then
      if [[ " $commands " == *" $word "* ]]; then
        command="${command:+$command }$word"
        _dfc_words "$command"
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
complete -F _dfc dfc
