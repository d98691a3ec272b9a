/**
 * Extended attributes of local files and folders that copies keep: those of users, and access control lists. Those of
 * the system and of security modules belong to the machine.
 */
import { constants } from 'node:os'
import { bytesOf, textOf } from '../../byte-text.js'
import { DfsError } from '../../errors.js'
import { systemCalls } from './system-calls.js'

export interface ExtendedAttribute {
  readonly name: string
  readonly value: Buffer
}

const kept = /^user\.|^system\.posix_acl_(?:access|default)$/
const { ENODATA, ENOTSUP, EOPNOTSUPP, ERANGE } = constants.errno
/** Longest list of names, and longest value, that Linux has. */
const bytesMax = 64 * 1024

/** Whether a copy keeps the attribute. */
export function isKeptAttribute({ name }: ExtendedAttribute): boolean {
  return kept.test(name)
}

/** Reads the attributes of what `path` leads to, in the order of their names. None where it cannot have any. */
export async function readAttributes(path: string): Promise<readonly ExtendedAttribute[]> {
  const calls = await systemCalls()
  const at = terminated(path)
  const list = Buffer.alloc(bytesMax)
  const length = calls.listAttributes(at, list)
  if (length === 0 || isUnsupported(-length)) return []
  if (length < 0) throw failure(-length)
  const found: ExtendedAttribute[] = []
  for (const name of namesIn(list.subarray(0, length))) {
    if (!kept.test(name)) continue
    const value = Buffer.alloc(bytesMax)
    const valueLength = calls.getAttribute(at, terminated(name), value)
    // One that another process removed meanwhile is not there.
    if (valueLength === -ENODATA) continue
    if (valueLength < 0) throw failure(-valueLength)
    found.push({ name, value: Buffer.from(value.subarray(0, valueLength)) })
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Gives what `path` leads to these attributes, and takes others that copies keep from it. */
export async function writeAttributes(
  path: string,
  attributes: readonly ExtendedAttribute[],
): Promise<void> {
  const calls = await systemCalls()
  const at = terminated(path)
  const before = await readAttributes(path)
  for (const { name, value } of attributes) {
    const same = before.some((one) => one.name === name && one.value.equals(value))
    const result = same ? 0 : calls.setAttribute(at, terminated(name), value)
    if (result < 0) throw failure(-result)
  }
  for (const { name } of before) {
    if (attributes.some((one) => one.name === name)) continue
    const result = calls.removeAttribute(at, terminated(name))
    if (result < 0 && result !== -ENODATA) throw failure(-result)
  }
}

/** Whether two lists are alike, in whatever order. */
export function sameAttributes(
  one: readonly ExtendedAttribute[],
  other: readonly ExtendedAttribute[],
): boolean {
  const isIn = ({ name, value }: ExtendedAttribute): boolean =>
    other.some((match) => match.name === name && match.value.equals(value))
  return one.length === other.length && one.every(isIn)
}

function isUnsupported(errno: number): boolean {
  return errno === ENOTSUP || errno === EOPNOTSUPP
}

function failure(errno: number): DfsError {
  if (isUnsupported(errno)) {
    return new DfsError('unsupported', 'the file system here does not keep them')
  }
  const sentence = errno === ERANGE ? 'there are too many' : `the system refuses them (${errno})`
  return new DfsError('notPermitted', sentence)
}

function namesIn(list: Buffer): readonly string[] {
  const names: string[] = []
  for (let at = 0; at < list.length; ) {
    const end = list.indexOf(0, at)
    names.push(textOf(list.subarray(at, end)))
    at = end + 1
  }
  return names
}

function terminated(text: string): Buffer {
  return Buffer.concat([bytesOf(text), Buffer.alloc(1)])
}
