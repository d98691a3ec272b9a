/**
 * The targets of several sources when the last operand is the target, by the rules of cp(1): into the target if that
 * is a folder, else a single source becomes the target. Pure.
 */
import { DfsError } from '../../errors.js'

export type TargetKind = 'folder' | 'other' | 'absent'

export interface Step {
  readonly source: string
  readonly target: string
  /** Whether the user wrote all of the target, and not only the folder that holds it. */
  readonly isSpelledOut: boolean
}

/** Splits operands into sources and, if there are several operands, the target. */
export function splitOperands(operands: readonly string[]): {
  readonly sources: readonly string[]
  readonly target: string | undefined
} {
  return operands.length < 2
    ? { sources: operands, target: undefined }
    : { sources: operands.slice(0, -1), target: operands.at(-1) }
}

/**
 * Returns the target of each source. Throws `notDirectory` for several sources and no folder to hold them, and
 * `exists` when two sources would become the same file.
 */
export function planTargets(
  sources: readonly string[],
  target: string,
  kind: TargetKind,
): readonly Step[] {
  if (kind !== 'folder') {
    const [source, ...others] = sources
    const mustBeFolder = others.length > 0 || (kind === 'other' && target.endsWith('/'))
    if (mustBeFolder) throw new DfsError('notDirectory', `${target}: Not a directory`)
    return source === undefined ? [] : [{ source, target, isSpelledOut: true }]
  }
  const steps = sources.map((source) => {
    const place = within(target, source)
    return { source, target: place, isSpelledOut: place === target }
  })
  const sourceOf = new Map<string, string>()
  for (const step of steps) {
    const before = sourceOf.get(step.target)
    if (before !== undefined) {
      const what = `${step.target}: ${step.source} would overwrite ${before}`
      throw new DfsError('exists', what)
    }
    sourceOf.set(step.target, step.source)
  }
  return steps
}

/** Whether an operand means standard input or output. `./-` is the file of that name. */
export function isStream(operand: string): boolean {
  return operand === '-'
}

/** Throws `notDirectory` for a target that only a folder can have: `new/`. */
export function assertMayBeFile(target: string, isFolder: boolean): void {
  if (target.endsWith('/') && !isFolder) {
    throw new DfsError('notDirectory', `${target}: Not a directory`)
  }
}

/** Returns the last name of a path; empty when it has none (`/`, `.`, `..`). */
export function baseName(path: string): string {
  const name = path.replace(/\/+$/, '').split('/').at(-1) ?? ''
  return name === '.' || name === '..' ? '' : name
}

/**
 * Path of a source in a folder. A source without a name of its own, such as `.`, stands for its content, as for cp.
 */
function within(folder: string, source: string): string {
  const name = baseName(source)
  if (name === '') return folder
  return folder.endsWith('/') ? folder + name : `${folder}/${name}`
}
