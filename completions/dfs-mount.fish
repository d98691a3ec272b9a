# Completion of dfs-mount for fish. Made by "npm run docs" from the grammar of the program.
complete -c dfs-mount -f
complete -c dfs-mount -l version -d 'print the version of dfs-pairs'
complete -c dfs-mount -l config -r -F -d 'user, password and the four servers (or DFC_CONFIG)'
complete -c dfs-mount -l local -d 'run the four servers on this machine, in one folder or four'
complete -c dfs-mount -l port -x -d 'with --local: the first of four ports; those of before, or 10001, when left out'
complete -c dfs-mount -l foreground -d 'stay in the foreground; Ctrl-C unmounts'
complete -c dfs-mount -l log -r -F -d 'write the log to this file; SIGHUP reopens it'
complete -c dfs-mount -l metrics -x -d 'serve metrics for Prometheus there, such as 127.0.0.1:9464'
complete -c dfs-mount -l unmount -d 'store everything and unmount'
complete -c dfs-mount -l wait -x -d 'wait for servers that are not up yet, at most 60s, for example; like -o wait=TIME'
complete -c dfs-mount -s o -l option -x -d 'ro, allow_other, acl, dirsync, fsname=NAME ...'
complete -c dfs-mount -s h -l help -d 'display help for command'
complete -c dfs-mount -F
