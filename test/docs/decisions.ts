/** The decision records in docs/decisions, read from their files. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './documents.js'

export interface DecisionRecord {
  readonly file: string
  readonly number: string
  readonly title: string
  readonly status: string
  readonly date: string
  /** The headings of its sections, in their order. */
  readonly sections: readonly string[]
}

const folder = join(root, 'docs/decisions')
const fileName = /^(\d{4})-[a-z0-9-]+\.md$/

/** All records in the order of their numbers. A record without a title, status or date has '' there. */
export function decisionRecords(): readonly DecisionRecord[] {
  return readdirSync(folder)
    .filter((file) => fileName.test(file))
    .sort()
    .map((file) => recordOf(file, readFileSync(join(folder, file), 'utf8')))
}

function recordOf(file: string, text: string): DecisionRecord {
  const match = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? ''
  const number = fileName.exec(file)?.[1] ?? ''
  return {
    file,
    number,
    title: match(new RegExp(`^# ${number} (.+)\n`)),
    status: match(/^- Status: (.+)$/m),
    date: match(/^- Date: (.+)$/m),
    sections: [...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading ?? ''),
  }
}
