#!/usr/bin/env bash
# Runs each line of standard input as a command at one prompt, in a network of its own. Prints before a command the
# byte 0x1e and behind it 0x1f with its status. Run by test/docs/session.ts.
exec 2>&1
ip link set lo up
cd
while IFS= read -r line; do
  printf '\036'
  eval "$line" </dev/null
  printf '\037%d\n' "$?"
done
