/**
 * The check of a listener for this machine alone: a browser here may be made to ask it by a page of the web whose own
 * name was made to lead to 127.0.0.1 (DNS rebinding). Such a request has that name as its Host.
 */
import { isLoopback } from './tls.js'

/** Whether the Host of a request over HTTP names this machine. */
export function isOwnHost(host: string | undefined): boolean {
  const match = /^(?:\[([0-9A-Fa-f:]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(host ?? '')
  const name = match?.[1] ?? match?.[2]
  return name !== undefined && isLoopback(name)
}
