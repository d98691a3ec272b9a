/** The exit status of a server and of a mount, which a service manager may start, by what they failed of. */
import { isError } from './errors.js'

const failed = 1
/** EX_CONFIG of sysexits(3): the next attempt would fail as well, so that systemd is told not to make it. */
const wrongConfiguration = 78

/** Returns the status to end with after a failure. The words and the password of a user count as configuration. */
export function exitStatusOf(thrown: unknown): number {
  return isError(thrown, 'configuration', 'authentication') ? wrongConfiguration : failed
}
