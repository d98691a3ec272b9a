/** A word as shells take it literally, for commands that a person is to copy. */
export function shellWord(word: string): string {
  return /^[\w.:/@+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
