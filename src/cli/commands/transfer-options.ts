/** The options that PUT, GET and SYNC share: their words, and what they mean. */
import { sentenceOf } from '../../error-message.js'
import { Filter, type Rule } from '../transfer/filter.js'
import type { TransferOptions } from '../transfer/transfer.js'
import type { OptionRow, Options } from './command.js'

export const filterRows: readonly OptionRow[] = [
  ['--exclude <pattern>', 'in folders, leave out names that match; may be repeated', 'repeats'],
  ['--include <pattern>', 'in folders, take names that match; may be repeated', 'repeats'],
]

export const checksumRow: OptionRow = [
  '--checksum',
  'compare contents instead of sizes and times to find what is the same',
]

export const statsRow: OptionRow = ['--stats', 'print a summary also without a terminal']

export const sameRows: readonly OptionRow[] = [
  ['--skip-same', 'skip files with the same size and modification time'],
  checksumRow,
]

/** Says what is wrong with the patterns of --exclude and --include. */
export function faultInPatterns(options: Options): string | undefined {
  try {
    new Filter(rulesIn(options))
    return undefined
  } catch (error) {
    return sentenceOf(error)
  }
}

/** Says that a stream is moved as it comes, if an option asks for anything else. */
export function faultInStreamOptions(what: string, options: Options): string | undefined {
  const [other] = otherOptions(options, ['stats', 'fromCommand'])
  return other === undefined
    ? undefined
    : `${what} is about a stream, and takes no option but --stats`
}

/** The names of the options that are given, but for `known`. */
export function otherOptions(options: Options, known: readonly string[]): readonly string[] {
  return Object.keys(options).filter((name) => options[name] !== undefined && !known.includes(name))
}

/** Reads the options of PUT, GET and SYNC. Throws `invalid` for a pattern that matches nothing. */
export function transferOptions(options: Options): TransferOptions {
  return {
    recursive: options.recursive === true,
    filter: new Filter(rulesIn(options)),
    sameBy: options.checksum === true ? 'content' : options.skipSame === true ? 'time' : 'nothing',
    resume: options.resume === true,
    stats: options.stats === true,
    dryRun: options.dryRun === true,
    deletesOthers: options.delete === true,
    hasBars: true,
  }
}

function rulesIn({ exclude, include }: Options): readonly Rule[] {
  const given = [exclude, include].find((value) => Array.isArray(value)) ?? []
  return (given as readonly (readonly [string, string])[]).map(([name, pattern]) => ({
    kind: name === 'include' ? 'include' : 'exclude',
    pattern,
  }))
}
