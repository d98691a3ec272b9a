/** Passwords as SCRAM uses them: texts that look the same are the same, however they were typed. */
import { saslprep } from '@mongodb-js/saslprep'

/** What `prepared` accepts, for errors. */
export const preparedRule =
  'a text that SASLprep (RFC 4013) allows: no control, private or unassigned characters such as emoji, and right-to-left text from begin to end'

/**
 * `text` normalized by SASLprep as a stored string, which RFC 5802 asks for; printable ASCII stays as it
 * is. Returns undefined for what the RFC prohibits, and for a text of which nothing is left.
 */
export function prepared(text: string): string | undefined {
  try {
    return saslprep(text) || undefined
  } catch {
    return undefined
  }
}
