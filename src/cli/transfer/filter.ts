/**
 * Which names a transfer takes: the rules of `--exclude` and `--include`, in the order of the command line. The first
 * rule that matches decides. What matches no rule is taken, unless there are rules of `--include` alone: then it is
 * left out.
 *
 *     *.o        that name at any depth; `*` and `?` match no slash
 *     /build     in the folder that was named, and nowhere else
 *     a/b        that path at any depth
 *     cache/     folders alone
 *     a/**       everything below a; `**` matches slashes
 *     a/***      a, and everything below it
 *     *.{a,b}    as in a shell: {a,b}, [a-c], [!a-c]; a dot in front is nothing special
 *     \*         a star; a backslash takes the meaning from what is behind it
 *
 * A folder that is left out is not entered. One that no rule of `--include` matches is: something below it may match.
 */
import picomatch from 'picomatch'
import { DfsError } from '../../errors.js'

export interface Rule {
  readonly kind: 'exclude' | 'include'
  readonly pattern: string
}

interface CompiledRule {
  readonly isIncluded: boolean
  readonly foldersOnly: boolean
  readonly matches: (path: string) => boolean
}

export class Filter {
  readonly #rules: readonly CompiledRule[]
  readonly #isRestTaken: boolean

  /** Throws `invalid` for a pattern that matches nothing, or is none. */
  constructor(rules: readonly Rule[]) {
    this.#rules = rules.map(compiled)
    this.#isRestTaken = rules.length === 0 || rules.some(({ kind }) => kind === 'exclude')
  }

  /** Whether a file or link is taken. `path` begins in the folder that was named: `a/b`. */
  takesFile(path: string): boolean {
    return this.#decision(path, false) ?? this.#isRestTaken
  }

  /** Whether a folder is entered. */
  takesFolder(path: string): boolean {
    return this.#decision(path, true) ?? true
  }

  #decision(path: string, isFolder: boolean): boolean | undefined {
    const rule = this.#rules.find(
      ({ foldersOnly, matches }) => (isFolder || !foldersOnly) && matches(path),
    )
    return rule?.isIncluded
  }
}

function compiled({ kind, pattern }: Rule): CompiledRule {
  const foldersOnly = pattern.endsWith('/')
  const path = pattern.replace(/\/+$/, '')
  const isAnchored = path.startsWith('/')
  const bare = path.replace(/^\/+/, '')
  if (bare.split('/').some(isNoName)) {
    throw new DfsError('invalid', `--${kind} '${pattern}' matches nothing`)
  }
  // A pattern such as **/x or x matches at any depth.
  const glob = isAnchored || bare.startsWith('**/') ? bare : `**/${bare}`
  try {
    const matches = picomatch(asInShells(glob), globRules)
    return { isIncluded: kind === 'include', foldersOnly, matches }
  } catch (cause) {
    throw new DfsError('invalid', `--${kind} '${pattern}' is no pattern`, { cause })
  }
}

/** Whether no file has this name. */
function isNoName(name: string): boolean {
  return ['', '.', '..'].includes(name)
}

/** A `?` matches one character, whatever it is; names may have line breaks; and what is no pattern throws. */
const globRules = {
  dot: true,
  nonegate: true,
  strictSlashes: true,
  fastpaths: false,
  flags: 'us',
  debug: true,
}

/**
 * Rewrites what picomatch reads otherwise than shells and rsync(1): `[!a]`, `a/***`, and escapes, which it takes for those
 * of regular expressions, where `\d` is a digit.
 */
function asInShells(glob: string): string {
  const readAlike = glob.replace(/\\(.)|\\$|\[!/gsu, (found, escaped: string | undefined) => {
    if (found === '[!') return '[^'
    if (escaped === undefined) return '\\\\'
    if (/[\^$\\.*+?()[\]{}|/]/.test(escaped)) return found
    if (/[\w\u0080-\u{10ffff}]/u.test(escaped)) return escaped
    return `\\x${escaped.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
  return readAlike.replace(/\/\*{3,}$/, '{,/**}')
}
