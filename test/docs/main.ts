/** npm run docs: writes the generated parts of the documents anew, and names those that it changed. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { documents, root } from './documents.js'
import { rewritten } from './generated.js'

for (const document of documents) {
  const path = join(root, document)
  const before = readFileSync(path, 'utf8')
  const after = rewritten(before)
  if (after === before) continue
  writeFileSync(path, after)
  process.stdout.write(`${document}\n`)
}
