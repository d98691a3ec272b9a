/** The operation behind the completion of shells: prints the names on the servers that begin like a word. */
import type { Command } from './commands/command.js'
import { remoteNamesFor } from './completion.js'

export const completeNames: Command = {
  name: 'complete-names',
  operands: 'BEGINNING',
  operandsMin: 1,
  operandsMax: 1,
  summary:
    'print the names on the servers that begin so, folders with a slash, for the completion of shells',
  options: [],
  completes: [],

  async run({ client, output }, [beginning = '']) {
    for (const name of await remoteNamesFor(client.namespace, beginning)) {
      // A line is a name: shells could not tell one with a line break from two.
      if (!name.includes('\n')) output.print(name)
    }
    return 0
  },
}
