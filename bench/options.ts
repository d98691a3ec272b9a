/** Parses the command line. */
import { resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import type { ClusterOptions } from './cluster.js'
import type { Extra } from './work.js'
import { works } from './works/table.js'

/** Something that an administrator can turn on, and the works that show what it costs. */
export interface Variant {
  readonly what: string
  readonly works: readonly string[]
  readonly cluster: Partial<ClusterOptions>
}

const variants: Readonly<Record<string, Variant>> = {
  secure: { what: 'over TLS', works: ['copy', 'small', 'listing'], cluster: { tls: true } },
  trash: { what: 'with a trash', works: ['small', 'folders', 'edits'], cluster: { trash: '7d' } },
}

export interface Options {
  readonly against?: string
  readonly build?: string
  readonly only?: readonly string[]
  /** Compares our mount as this variant says with one as it is by default. */
  readonly variant?: Variant
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
      `some works: ${Object.keys(works).join(', ')}; or ${variantsText()}`,
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
  if (only === undefined) return others
  const variant = only.flatMap((name) => variants[name] ?? [])[0]
  return variant === undefined ? { ...others, only } : { ...others, only: variant.works, variant }
}

function variantsText(): string {
  return Object.entries(variants)
    .map(([name, { works, what }]) => `${name}: ${works.join(', ')} ${what} and without, in turn`)
    .join('; or ')
}

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
    if (!Object.hasOwn(variants, name) && !Object.hasOwn(works, name))
      throw new InvalidArgumentError(`There is no work "${name}".`)
  }
  return names
}

function asPath(text: string): string {
  return resolve(process.env.INIT_CWD ?? '.', text)
}
