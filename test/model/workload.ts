/** The work of clients: read, write, delete and move registers, or work on a folder with one entry. */
import type { Client, Step } from './client.js'
import { type Change, commit } from './commit.js'
import type { Read } from './history.js'
import { read } from './read.js'
import type { Key, Precondition, Value } from './vocabulary.js'

/** With `dir=1`: the register of a folder, and that of an entry in it. */
export const folderKey = 'k0'
export const entryKey = 'k1'

const readShare = 0.3
const deleteShare = 0.45
const moveShare = 0.65

/** All keys of a schedule. */
export function keysOf(count: number): readonly Key[] {
  return Array.from({ length: count }, (_, index) => `k${index}`)
}

/** One operation. A patient one always writes, and is tried to the end. The result is what the user is told. */
export function* operate(client: Client, isPatient = false): Step<string> {
  const { chance, options } = client.context
  const drawn = chance.fraction()
  const seen = yield* readRandom(client)
  if (!seen) return 'noread'
  if (drawn < readShare && !isPatient) return 'read'
  if (options.thinks && !isPatient && chance.happens(0.1)) yield* client.sleep(chance.below(400))
  const change = options.folders
    ? yield* changeFolder(client, isPatient)
    : yield* changeRegister(client, seen, drawn)
  return change ? yield* commit(client, { ...change, isPatient }) : 'noread'
}

type Plan = Omit<Change, 'isPatient'>

function* readRandom(client: Client): Step<Read | undefined> {
  return yield* readAndNote(client, randomKey(client))
}

function randomKey({ context: { chance, options } }: Client): Key {
  return `k${chance.below(options.keys)}`
}

function* readAndNote(client: Client, key: Key): Step<Read | undefined> {
  const seen = yield* read(client, key)
  if (seen) client.context.history.reads.push(seen)
  return seen
}

/** Deletes, moves or writes a register; nothing if another one cannot be read. */
function* changeRegister(client: Client, seen: Read, drawn: number): Step<Plan | undefined> {
  const { key, value } = seen
  if (value !== null && drawn < deleteShare) return plan([seen], [[key, null]])
  if (value !== null && drawn < moveShare) {
    const target = randomKey(client)
    if (target !== key) {
      const replaced = yield* readAndNote(client, target)
      return (
        replaced &&
        plan(
          [seen, replaced],
          [
            [key, null],
            [target, value],
          ],
        )
      )
    }
  }
  return plan([seen], [[key, newValue(client, 'v')]])
}

/** Makes, changes or removes the folder or its entry; nothing if one of them cannot be read. */
function* changeFolder(client: Client, isPatient: boolean): Step<Plan | undefined> {
  const { chance, options, history } = client.context
  const folder = yield* read(client, folderKey)
  const entry = yield* read(client, entryKey)
  if (!folder || !entry) return undefined
  history.reads.push(folder, entry)
  const drawn = chance.fraction()
  const hasEntry = entry.value !== null
  if (folder.value === null) return plan([folder], [[folderKey, newValue(client, 'd')]])
  if (options.emptyFolders && hasEntry && drawn > 0.6 && drawn < 0.7) {
    return {
      ...plan(
        [folder, entry],
        [
          [folderKey, null],
          [entryKey, null],
        ],
      ),
      mustBeEmpty: [entryKey],
    }
  }
  const isBlindRemoval = options.emptyFolders > 0 && !isPatient && drawn > 0.9
  if (hasEntry && !isBlindRemoval) {
    if (drawn < 0.8) return plan([entry], [[entryKey, null]])
    return plan([folder], [[folderKey, newValue(client, 'd')]])
  }
  if (drawn < 0.5) return plan([folder, entry], [[entryKey, newValue(client, 'e')]])
  if (!options.emptyFolders) return plan([folder, entry], [[folderKey, null]])
  return { ...plan([folder], [[folderKey, null]]), mustBeEmpty: [entryKey] }
}

function newValue({ context }: Client, prefix: string): Value {
  return `${prefix}${context.nextValue()}`
}

function plan(seen: readonly Read[], writes: readonly (readonly [Key, Value])[]): Plan {
  const preconditions = new Map(seen.map((one) => [one.key, preconditionOf(one)] as const))
  return { writes: new Map(writes), preconditions }
}

function preconditionOf({ version, value }: Read): Precondition {
  return { version, isAbsent: value === null }
}
