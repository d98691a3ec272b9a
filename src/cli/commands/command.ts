/** What every operation of the client is: a row of the table in table.ts. */
import type { Session, Status } from '../session.js'

/** The options that were given, by their long names. */
export type Options = Readonly<Record<string, boolean | string | undefined>>

export interface Command {
  /** In lower case. */
  readonly name: string
  /** Shown in help: `FILE... [REMOTE]`. */
  readonly operands: string
  readonly operandsMin: number
  readonly operandsMax: number
  readonly summary: string
  /** What stands in help behind the options. */
  readonly details?: string
  readonly options: readonly (readonly [flags: string, description: string])[]
  /** What the tab key completes from: the first operand by the first, later ones by all. */
  readonly completes: readonly ('local' | 'remote')[]
  /** Throws when the whole operation failed. */
  readonly run: (session: Session, operands: readonly string[], options: Options) => Promise<Status>
}
