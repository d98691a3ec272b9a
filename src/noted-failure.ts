/** Failures that a mount has noted, so that people can be told why: their form, between programs, and their words. */
import * as v from 'valibot'
import { escapeName } from './visible-text.js'

const awaySchema = v.object({ name: v.string(), why: v.string() })

const failureSchema = v.object({
  /** When it was the first and the last time, in ms since 1970. */
  firstMs: v.number(),
  lastMs: v.number(),
  times: v.number(),
  ino: v.number(),
  /** The last known name, without its folder. */
  name: v.string(),
  /** Names the attempt, such as "reading". */
  what: v.string(),
  /** Name of the errno that a program got, such as "EIO". */
  errno: v.string(),
  message: v.string(),
  /** The servers that were not there, the last time. */
  away: v.array(awaySchema),
})

/** The form of a mount's answer about a file, or about itself. */
export const whySchema = v.object({
  /** Sentences about the present. */
  now: v.array(v.string()),
  failures: v.array(failureSchema),
})

/** A server that cannot be used, and the reason. */
export type AwayServer = v.InferOutput<typeof awaySchema>
export type NotedFailure = v.InferOutput<typeof failureSchema>
export type Why = v.InferOutput<typeof whySchema>

/** A failure in one line, which cannot act on a terminal. */
function failureText(failure: NotedFailure): string {
  const { firstMs, lastMs, times, name, what, errno, message, away } = failure
  const often = times === 1 ? '' : ` (${times} times since ${timeText(firstMs)})`
  const down = away.map((server) => `${server.name} (${server.why})`).join(', ')
  const then = down === '' ? '' : `; not there then: ${down}`
  return escapeName(
    `${timeText(lastMs)} ${what} "${name}" failed: ${message} (${errno})${often}${then}`,
  )
}

/** All that is said, one thing a line. */
export function whyText({ now, failures }: Why): string {
  return [...now.map(escapeName), ...failures.map(failureText)].join('\n')
}

function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
