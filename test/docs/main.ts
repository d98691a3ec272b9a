/** npm run docs: writes the generated parts of the documents and the layers for Biome anew, and names what it changed. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { documents, root } from './documents.js'
import { rewritten } from './generated.js'
import { biomeLayers } from './rooms.js'

for (const document of documents) write(document, rewritten)
write('biome.layers.json', biomeLayers)

function write(file: string, made: (before: string) => string): void {
  const path = join(root, file)
  const before = readFileSync(path, 'utf8')
  const after = made(before)
  if (after === before) return
  writeFileSync(path, after)
  process.stdout.write(`${file}\n`)
}
