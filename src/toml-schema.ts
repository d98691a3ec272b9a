/**
 * Schemas of TOML files, for valibot. Errors name the place and what was expected there:
 * `dfc.conf:8: address: expected "host:port", got "localhost"`.
 */
import * as v from 'valibot'
import { DfsError } from './errors.js'
import { lineOf, type Path, parseToml, type TomlDocument } from './toml.js'

/** Parses `text` by `schema`. Throws `configuration` about the first mistake. */
export function readToml<S extends v.GenericSchema>(
  text: string,
  file: string,
  schema: S,
): v.InferOutput<S> {
  const document = parseToml(text, file)
  const result = v.safeParse(schema, document.root)
  if (result.success) return result.output
  throw mistake(document, result.issues)
}

/** A value that must not be quoted in an error. */
export const secret = true

/** A text that `parse` makes something of; it returns undefined for a text that is not what is expected. */
export function parsed<T>(
  expected: string,
  parse: (text: string) => T | undefined,
  isSecret = false,
) {
  const message = expecting(expected, isSecret)
  return v.pipe(
    v.string(message),
    v.rawTransform(({ dataset, addIssue, NEVER }): T => {
      const value = parse(dataset.value)
      if (value !== undefined) return value
      addIssue({ message })
      return NEVER
    }),
  )
}

/** A table with the keys of `entries` and no others. */
export function table<E extends v.ObjectEntries>(expected: string, entries: E) {
  const keys = Object.keys(entries)
  const absent = Object.fromEntries(keys.map((key) => [key, undefined]))
  return v.pipe(
    v.custom<object>(isTable, expecting(expected)),
    // A key that is missing is judged by its own schema.
    v.transform((given): object => ({ ...absent, ...given })),
    v.strictObject(
      entries,
      ({ received }) => `unknown key ${received}: expected one of ${keys.join(', ')}`,
    ),
  )
}

/** A table whose keys are names, as a map. */
export function tableByName<K extends v.GenericSchema<string>, S extends v.GenericSchema>(
  expected: string,
  name: K,
  value: S,
) {
  return v.pipe(
    v.custom<object>(isTable, expecting(expected)),
    v.transform((given) => new Map<string, unknown>(Object.entries(given))),
    v.map(name, value),
  )
}

/** Returns the function that words an issue. */
export function expecting(expected: string, isSecret = false) {
  return ({ input }: { readonly input: unknown }): string =>
    `expected ${expected}, got ${described(input, isSecret)}`
}

/** Makes an error of the first mistake. A misspelt key comes before the key that is missing for it. */
function mistake(
  document: TomlDocument,
  issues: readonly [v.GenericIssue, ...v.GenericIssue[]],
): DfsError {
  const unknown = issues.find(({ type }) => type === 'strict_object')
  const { message, path = [] } = unknown ?? issues[0]
  const keys = path.map(({ key }) => key) as Path
  const key = keys.findLast((part) => typeof part === 'string')
  const subject = unknown === undefined && key !== undefined ? `${key}: ` : ''
  const where = `${document.file}:${lineOf(document, keys)}`
  return new DfsError('configuration', `${where}: ${subject}${message}`)
}

function isTable(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  )
}

function described(value: unknown, isSecret: boolean): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return isSecret ? 'another text' : JSON.stringify(value)
  if (typeof value === 'number' && !isSecret) return String(value)
  if (value instanceof Date) return 'a date'
  return Array.isArray(value) ? 'a list' : isTable(value) ? 'a table' : `a ${typeof value}`
}
