/** Passwords as SCRAM uses them: texts that look the same are the same, however they were typed. */
import { saslprep } from '@mongodb-js/saslprep'

/** The rule of `prepared`, in words for errors. */
export const preparedRule =
  'a text that SASLprep (RFC 4013) allows: no control or private characters, and right-to-left text from begin to end'

/**
 * `text` normalized by SASLprep, which RFC 5802 asks for; printable ASCII stays as it is. Characters that Unicode
 * 3.2 did not have, such as emoji, are allowed on both sides, as in a query string of the RFC, since people type
 * them. Returns undefined for what the RFC prohibits, and for a text of which nothing is left.
 */
export function prepared(text: string): string | undefined {
  try {
    return saslprep(text, { allowUnassigned: true }) || undefined
  } catch {
    return undefined
  }
}
