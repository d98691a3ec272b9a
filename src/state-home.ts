/** The folder for what the programs keep of their own on this machine, by the XDG Base Directory Specification. */
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

/** `${XDG_STATE_HOME:-~/.local/state}/dfs`. A relative XDG_STATE_HOME counts as unset. */
export function stateHome(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const { XDG_STATE_HOME: state } = environment
  const folder = state && isAbsolute(state) ? state : join(homedir(), '.local', 'state')
  return join(folder, 'dfs')
}
