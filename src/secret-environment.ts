/**
 * A secret that came in the environment. It leaves as soon as it was read: every child would inherit it, and
 * /proc/PID/environ shows the memory that the variables came in for as long as the process lives.
 */
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'

/** Positions of `env_start` and `env_end` in /proc/PID/stat, counted from the state, the first behind the name (proc(5)). */
const startField = 47
const endField = 48

/** The value of the variable, which nobody can read there any more. */
export function takeFromEnvironment(name: string): string | undefined {
  const value = process.env[name]
  if (value === undefined) return undefined
  delete process.env[name]
  try {
    overwrite(name)
  } catch {
    // A system that does not let a process write its own memory: children do not get it all the same.
  }
  return value
}

/** Puts zeros in the place of the variable in the memory that the process was started with. */
function overwrite(name: string): void {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1)?.split(' ') ?? []
  const [start, end] = [Number(fields[startField]), Number(fields[endField])]
  const memory = openSync('/proc/self/mem', 'r+')
  try {
    const block = Buffer.alloc(end - start)
    readSync(memory, block, 0, block.length, start)
    for (const { at, bytes } of variablesOf(block)) {
      if (!bytes.toString('latin1').startsWith(`${name}=`)) continue
      writeSync(memory, Buffer.alloc(bytes.length), 0, bytes.length, start + at)
    }
    block.fill(0)
  } finally {
    closeSync(memory)
  }
}

/** Each ends with a zero byte. */
function* variablesOf(block: Buffer): Generator<{ readonly at: number; readonly bytes: Buffer }> {
  for (let at = 0; at < block.length; ) {
    const found = block.indexOf(0, at)
    const end = found === -1 ? block.length : found
    yield { at, bytes: block.subarray(at, end) }
    at = end + 1
  }
}
