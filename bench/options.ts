/** Parses the command line. */
import { resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import type { Extra } from './work.js'
import { works } from './works/table.js'

export interface Options {
  readonly against?: string
  readonly build?: string
  readonly only?: readonly string[]
  /** Compares our mount over TLS with one without TLS. */
  readonly secure?: boolean
  readonly quick?: true
  readonly growth?: true
  readonly huge?: true
  readonly folder?: string
  readonly json?: string
  readonly profile?: string
}

export function parseOptions(args: readonly string[]): Options {
  const { only, ...others } = new Command('npm run bench --')
    .description('Measures our mount with ordinary work, beside another folder if one is given.')
    .option('--against <dir>', 'do the same work in this folder, in turn', asPath)
    .option('--build <dir>', 'do it with another checkout of this project, in turn', asPath)
    .option(
      '--only <names>',
      `some works: ${Object.keys(works).join(', ')}; or ${secure}: ${secureWorks.join(', ')} over TLS and without, in turn`,
      asNames,
    )
    .option('--quick', 'less of everything, in some minutes')
    .option('--growth', 'also how it grows with the number of files: some minutes more')
    .option('--huge', 'also a copy of 10 GiB and 1,000,000 files: half an hour, 30 GiB of disk')
    .option('--folder <dir>', 'where our servers keep their data', asPath)
    .option('--json <file>', 'write the numbers', asPath)
    .option('--profile <dir>', 'write CPU profiles of our mount and servers', asPath)
    .parse(args, { from: 'user' })
    .opts<Options>()
  if (only?.includes(secure) !== true) return { ...others, ...(only && { only }) }
  return { ...others, only: secureWorks, secure: true }
}

/** Name that selects the works that measure the cost of TLS. */
const secure = 'secure'
const secureWorks = ['copy', 'small', 'listing']

/** Names of the requested works. */
export function chosenWorks(options: Options): readonly string[] {
  const wanted = (extra: Extra | undefined): boolean =>
    extra === undefined || options[extra] === true
  return (
    options.only ??
    Object.entries(works).flatMap(([name, { extra }]) => (wanted(extra) ? [name] : []))
  )
}

function asNames(text: string): readonly string[] {
  const names = text.split(',')
  for (const name of names) {
    if (name !== secure && !Object.hasOwn(works, name))
      throw new InvalidArgumentError(`There is no work "${name}".`)
  }
  return names
}

function asPath(text: string): string {
  return resolve(process.env.INIT_CWD ?? '.', text)
}
