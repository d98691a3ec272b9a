/** The description of an operation of the client: a row of the table in table.ts. */
import type { ClientConfig } from '../../config.js'
import type { Client } from '../../dfc/client.js'
import type { Session, Status } from '../session.js'
import type { Output } from '../terminal/output.js'

/** The given options, by their long names. */
export type Options = Readonly<Record<string, OptionValue | undefined>>

/**
 * An option with several values has a list of them; one that may be given several times has all that were given, as
 * `[name, value]` in their order.
 */
export type OptionValue =
  | boolean
  | string
  | readonly string[]
  | readonly (readonly [name: string, value: string])[]

/** The flags of an option and what it means. All options of a command that may be repeated are one list. */
export type OptionRow = readonly [flags: string, description: string, mayRepeat?: 'repeats']

/** The context of an operation that makes the configuration. */
export interface Setup {
  readonly output: Output
  /** The configuration that --config names. */
  readonly named: string | undefined
  /** The password in the environment. */
  readonly password: string | undefined
}

/** The context of an operation that needs no login. */
export interface Start extends Pick<Session, 'configFile' | 'output' | 'passwordOfEnvironment'> {
  /** Reads the configuration. Throws `configuration`. */
  readonly loadConfig: () => ClientConfig
  /** Logs in. The caller closes the client. */
  readonly openClient: () => Promise<Client>
}

export interface Command {
  /** Name in lower case. */
  readonly name: string
  /** Operands as shown in help: `FILE... [REMOTE]`. */
  readonly operands: string
  readonly operandsMin: number
  readonly operandsMax: number
  readonly summary: string
  /** Text in help behind the options. */
  readonly details?: string
  readonly options: readonly OptionRow[]
  /** Sources of completion: the first operand is completed from the first source, later ones from all. */
  readonly completes: readonly ('local' | 'remote')[]
  /** Returns what is wrong with a call as it was written, before anything is done; undefined for nothing. */
  readonly faultIn?: (operands: readonly string[], options: Options) => string | undefined
  /** Runs the operation. Throws when it failed as a whole. */
  readonly run: (session: Session, operands: readonly string[], options: Options) => Promise<Status>
  /**
   * Runs the operation without a login, in the place of `run`: TRUST helps when a login is refused, TOP asks no server. Resolves with
   * undefined, and has done nothing, when it takes a login.
   */
  readonly runWithoutLogin?: (
    start: Start,
    operands: readonly string[],
    options: Options,
  ) => Promise<Status | undefined>
  /** Runs the operation without a configuration, in the place of `run`. */
  readonly runWithoutConfig?: (setup: Setup, options: Options) => Promise<Status>
}
