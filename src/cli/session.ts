/** The context that the operations of one run of `dfc` share, and how they report failures. */
import type { Readable } from 'node:stream'
import { systemClock, systemRandom } from '../clock.js'
import type { ClientConfig } from '../config.js'
import type { Client } from '../dfc/client.js'
import { ServerKeys, serverKeysFile } from '../dfc/cluster/server-keys.js'
import { ServerWatch } from '../dfc/cluster/server-watch.js'
import { sentenceOf, speaksForItself } from '../error-message.js'
import { debugDfc } from '../log.js'
import { tcpNetwork } from '../network.js'
import type { Temporaries } from './local/local-file.js'
import type { Output } from './terminal/output.js'

/** The context of an operation. */
export interface Session {
  /** Another one after `apart`. */
  readonly client: Client
  /**
   * Gives up the connections while `wait` runs, and opens another client afterwards. A client with connections keeps a
   * mount of the same user from being alone, which makes each change there slower.
   */
  readonly apart: (wait: () => Promise<void>) => Promise<void>
  /** Path of the configuration. */
  readonly configFile: string
  readonly output: Output
  readonly temporaries: Temporaries
  /** The password that was in the environment, if there was one. */
  readonly passwordOfEnvironment: string | undefined
  /** Opens standard input, unless the prompt reads it. */
  readonly input: (() => Readable) | undefined
  /** Aborted when the user interrupts the operation. */
  readonly interrupted: AbortSignal
}

/** How the client of a session is closed and opened. */
export interface ClientSource {
  readonly close: (client: Client) => Promise<void>
  readonly open: () => Promise<Client>
}

/** Returns the session that has this client until it gives it up. */
export function sessionWith(
  first: Client,
  { close, open }: ClientSource,
  context: Omit<Session, 'client' | 'apart'>,
): Session {
  let client = first
  return {
    ...context,
    get client() {
      return client
    },
    async apart(wait) {
      await close(client)
      await wait()
      client = await open()
    },
  }
}

/** Watches the servers while the session is apart from them. */
export function watchServers(session: Session): ServerWatch {
  const config = (): ClientConfig => session.client.cluster.config
  return new ServerWatch({
    config,
    keys: new ServerKeys(config, serverKeysFile()),
    network: tcpNetwork,
    clock: systemClock,
    random: systemRandom,
  })
}

/** Exit status. 0: all was done. 1: something failed, and was reported. 2: defined by the operation. */
export type Status = 0 | 1 | 2

/** Runs `action` for each operand and goes on when one fails. */
export async function forEach(
  session: Session,
  operands: readonly string[],
  action: (operand: string) => Promise<unknown>,
): Promise<Status> {
  let status: Status = 0
  for (const operand of operands) {
    try {
      session.interrupted.throwIfAborted()
      await action(operand)
    } catch (error) {
      session.interrupted.throwIfAborted()
      reportAbout(session, operand, error, operands.length === 1)
      status = 1
    }
  }
  return status
}

/** Reports a failure about `name`. Some sentences stand alone when `name` was the only operand. */
export function reportAbout(session: Session, name: string, error: unknown, alone: boolean): void {
  debugDfc('%s: %o', name, error)
  const sentence = sentenceOf(error)
  if (alone && speaksForItself(error)) session.output.say(sentence)
  else session.output.problem(`${name || "''"}: ${sentence}`)
}
