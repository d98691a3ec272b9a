/**
 * The moment at which a daemon in the background leaves the processes that have started it. The kernel lets none pass
 * to a folder of an automounter while that mounts there, but for the automounter's own group of processes (autofs_oz_mode
 * in fs/autofs), in which systemd runs mount(8). So the daemon has to be of that group until it has mounted.
 */
import { beginSession } from '../kernel/system-calls.js'

/** Leaves the group, the session and its terminal, whose signals then no longer reach this process. */
export function leaveGroup(): void {
  beginSession()
}
