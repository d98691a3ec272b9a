/**
 * Takes secrets out of what is given away: of a configuration only values that are known to be harmless are shown, and
 * every other one is searched for in all the rest. Pure.
 */
import { parseToml } from '../../toml.js'

/**
 * Keys whose values say nothing that must not be known, and the form of such values: a password may stand at the wrong
 * key, or in front of a host as in a URL. All other keys and values are secret.
 */
const harmless: Readonly<Record<string, RegExp>> = {
  user: /^[\w.-]{1,64}$/,
  timeout: /^[\d.]{1,9}m?s$/,
  recovery: /^\.{0,2}\/[^?#@]*$/,
  tls: /^(on|off)$/,
  name: /^[\w.-]{1,16}$/,
  address: /^(\[[0-9A-Fa-f:.%\w]+\]|[\w.-]+):\d{1,5}$/,
  quota: /^\d{1,16}[KMGT]?$/,
  until: /^[\dTZ:.-]+$/,
  metrics: /^(public +)?(\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}$/,
  trash: /^(off|\d{1,9}[smhd])$/,
}

const removed = '(removed)'
/** Words without quotes that are shorter, such as numbers, are no password that somebody forgot to quote. */
const bareCharactersMin = 4
/** Parts of a verifier: its salt and keys. */
const partBytesMin = 8

export interface RedactedConfig {
  readonly text: string
  readonly secrets: readonly string[]
}

/** Reads the text of a configuration. One that cannot be parsed is not shown, and all its values count as secrets. */
export function redactedConfig(text: string, file: string): RedactedConfig {
  let root: unknown
  try {
    root = parseToml(text, file).root
  } catch (error) {
    const quoted = text.matchAll(/"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'/g)
    return {
      text: `cannot be parsed: ${error instanceof Error ? error.message : error}\n`,
      secrets: [
        ...[...quoted].flatMap(([, one, other]) => partsOf(other ?? unescaped(one ?? ''))),
        ...text.split('\n').flatMap(valuesInLine),
      ],
    }
  }
  const lines: string[] = []
  const secrets: string[] = []
  for (const { path, value } of valuesIn(root, [])) {
    const isHarmless = isKnownHarmless(path, value)
    if (!isHarmless) secrets.push(...partsOf(String(value)))
    lines.push(`${path.join('.')} = ${isHarmless ? JSON.stringify(value) : removed}\n`)
  }
  return { text: lines.join(''), secrets }
}

function isKnownHarmless(path: readonly string[], value: unknown): boolean {
  // A user may have any name, that of such a key as well.
  if (path[0] === 'users' && path.length < 3) return false
  const key = path.findLast((word) => !/^\d+$/.test(word)) ?? ''
  return Object.hasOwn(harmless, key) && harmless[key]?.test(String(value)) === true
}

/**
 * Values that may be in a line of a file that is no TOML: without quotes or with one that is missing, behind a colon or
 * nothing, or in a text of several lines.
 */
function valuesInLine(line: string): string[] {
  const text = line.trim()
  if (/^(#|\[|$)/.test(text)) return []
  const [, value = text] = /^[\w."'-]+(?:[ \t]*[=:][ \t]*|[ \t]+)(.+)$/.exec(text) ?? []
  const words = [text, value, ...value.split(/\s+/)].map((word) =>
    word.replace(/^["']+|["',]+$/g, ''),
  )
  return words.filter(({ length }) => length >= bareCharactersMin).flatMap(partsOf)
}

function unescaped(text: string): string {
  try {
    return JSON.parse(`"${text}"`)
  } catch {
    return text
  }
}

interface Value {
  readonly path: readonly string[]
  readonly value: unknown
}

function* valuesIn(value: unknown, path: readonly string[]): Generator<Value> {
  if (typeof value !== 'object' || value === null || value instanceof Date) {
    yield { path, value }
    return
  }
  for (const [key, inner] of Object.entries(value)) yield* valuesIn(inner, [...path, key])
}

/** A secret, and the secrets of which it is made. */
function partsOf(secret: string): string[] {
  const parts = secret.split(/[$:]/).filter((part) => part.length >= partBytesMin)
  return [secret, ...parts].filter((part) => part !== '')
}

/** Returns `text` without any of the secrets, in the forms in which programs write them. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const forms = new Set(secrets.flatMap(formsOf))
  // The longest first: a part of one that is replaced would leave the rest of it.
  const ordered = [...forms].sort((one, other) => other.length - one.length)
  return ordered.reduce((all, form) => all.replace(patternOf(form), removed), text)
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const percent = encodeURIComponent(secret.toWellFormed())
  const hex = bytes.toString('hex')
  const base64 = [bytes.toString('base64'), ...[0, 1, 2].flatMap((at) => base64Within(bytes, at))]
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    percent,
    percent.replaceAll(/%../g, (code) => code.toLowerCase()),
    percent.replaceAll('%20', '+'),
    hex,
    hex.toUpperCase(),
    ...base64,
    ...base64.map((form) => form.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')),
  ]
}

/** Characters of base64 that say enough of a secret to be one, and that no other text has by chance. */
const base64CharactersMin = 6

/**
 * The characters that a secret alone decides in the base64 of a longer text, such as "user:password", in which `at`
 * bytes of three stand before it.
 */
function base64Within(secret: Buffer, at: number): string[] {
  const all = Buffer.concat([Buffer.alloc(at), secret])
  const own = all
    .toString('base64')
    .slice(Math.ceil((at * 8) / 6), Math.floor((all.length * 8) / 6))
  return own.length < base64CharactersMin ? [] : [own]
}

/** A very short secret is replaced as a word alone: else hardly anything would be left of the text. */
function patternOf(form: string): RegExp {
  const literal = form.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
  return new RegExp(form.length < 4 ? `(?<![\\w])${literal}(?![\\w])` : literal, 'g')
}
