/** The options of a schedule. On the command line one is given as `argument=number`. */
import { roundTimeout } from './vocabulary.js'

interface Option {
  readonly argument: string
  readonly value: number
  /** The option in a sentence, with its unit: times are in ticks of the model. */
  readonly text: string
}

export const optionTable = {
  keys: { argument: 'keys', value: 3, text: 'Registers that are read and written.' },
  clients: { argument: 'clients', value: 3, text: 'Clients that read and write.' },
  repairers: { argument: 'rep', value: 2, text: 'Clients that only repair, fill and sweep.' },
  endsAt: { argument: 'end', value: 6000, text: 'Tick after which nothing new begins.' },
  gap: { argument: 'gap', value: 120, text: 'Longest pause of a client between two operations.' },
  repairGap: { argument: 'repGap', value: 500, text: 'Longest pause of a repairer.' },
  faultGap: { argument: 'faultGap', value: 150, text: 'Longest time between two faults.' },
  loss: { argument: 'loss', value: 0.02, text: 'Probability that a message is lost.' },
  deafness: {
    argument: 'deaf',
    value: 0,
    text: 'Probability that the answer to a vote of the first round is lost.',
  },
  skew: { argument: 'skew', value: 30, text: "Most that a client's clock is wrong by." },
  thinks: { argument: 'think', value: 1, text: '1: some clients pause between read and write.' },
  sweepAge: {
    argument: 'age',
    value: 5 * roundTimeout,
    text: 'Age from which a sweep drops what is decided.',
  },
  folders: {
    argument: 'dir',
    value: 0,
    text: '1: k0 is a folder and k1 an entry in it, which needs the folder.',
  },
  emptyFolders: {
    argument: 'empty',
    value: 0,
    text: '1, with dir=1: removing a folder names it as one that must be empty.',
  },
  rot: {
    argument: 'rot',
    value: 0,
    text: '1: registers rot on one server at a time; 2: more often, and no disk is lost.',
  },
  clocks: {
    argument: 'clocks',
    value: 0,
    text: '1: a client, a server and some stored versions are far in the future.',
  },
  lies: {
    argument: 'lies',
    value: 0,
    text: '1: a server lies about all but its votes; 2: about these as well.',
  },
  trace: { argument: 'v', value: 0, text: '1: every message and event is printed.' },
  seconds: { argument: 'secs', value: 0, text: 'Ends after this time, unless 0.' },
  badMax: {
    argument: 'bad',
    value: 0,
    text: 'Ends after so many schedules with a violation, unless 0.',
  },
} as const satisfies Readonly<Record<string, Option>>

export type OptionName = keyof typeof optionTable
export type Options = Readonly<Record<OptionName, number>>

export const optionNames = Object.keys(optionTable) as readonly OptionName[]

/** The options of a schedule: `given` by their arguments, the others as the table says. */
export function optionsFrom(given: ReadonlyMap<string, number>): Options {
  const entries = optionNames.map((name) => {
    const { argument, value } = optionTable[name]
    return [name, given.get(argument) ?? value]
  })
  return Object.fromEntries(entries) as Record<OptionName, number>
}
