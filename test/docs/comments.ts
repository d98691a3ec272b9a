/**
 * Doc comments that lean on a neighbour. An editor shows a doc comment by itself, so one that begins with
 * "The same" or "As `x`" says nothing there. CONTRIBUTING.md has the rule.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, treeFiles } from './documents.js'

const beginnings =
  /^(The same\b|As `|(For |By )?[Ss]o (many|much|far|long)\b|Of (which|whom|all|it|them)\b|Who(ever)?\b|What\b|Nobody\b|Somebody\b)/

/** Whether the text of a comment begins in a way that needs the comment before it. */
export function leans(text: string): boolean {
  return beginnings.test(text)
}

/** Every doc comment of the source that begins so, as "file:line: text". */
export function leaningComments(): readonly string[] {
  return treeFiles
    .filter((file) => file.startsWith('src/') && file.endsWith('.ts'))
    .flatMap((file) =>
      docComments(readFileSync(join(root, file), 'utf8'))
        .filter(({ text }) => leans(text))
        .map(({ line, text }) => `${file}:${line}: ${text.slice(0, 60)}`),
    )
}

/** The doc comments of a source text, with the number of their first line. */
export function docComments(source: string): readonly { line: number; text: string }[] {
  return [...source.matchAll(/\/\*\*([\s\S]*?)\*\//g)].map(({ 1: inner = '', index }) => ({
    line: source.slice(0, index).split('\n').length,
    text: inner.replaceAll(/\s*\n\s*\*\s*/g, ' ').trim(),
  }))
}
