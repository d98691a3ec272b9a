/** What every operation of the client is: a row of the table in table.ts. */

import { sentenceOf, speaksForItself } from '../../error-message.js'
import { debugDfc } from '../../log.js'
import type { Client } from '../client.js'
import type { Temporaries } from '../local-file.js'
import type { Output } from '../terminal/output.js'

/** What an operation works with. */
export interface Session {
  readonly client: Client
  readonly output: Output
  readonly temporaries: Temporaries
  /** Aborted when the user interrupts the operation. */
  readonly interrupted: AbortSignal
}

/** 0: all was done. 1: something failed, and was reported. 2: what an operation says of itself. */
export type Status = 0 | 1 | 2

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

/** Does `action` for each operand and goes on when one fails. */
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

/** Says what went wrong with `name`. Some sentences stand alone when `name` was all that was asked. */
export function reportAbout(session: Session, name: string, error: unknown, alone: boolean): void {
  debugDfc('%s: %o', name, error)
  const sentence = sentenceOf(error)
  if (alone && speaksForItself(error)) session.output.say(sentence)
  else session.output.problem(`${name}: ${sentence}`)
}
