/** npm run docs: writes the generated parts of the documents, the man pages, the completions and the layers for Biome anew, and names what it changed. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { completions } from './completions.js'
import { documents, root } from './documents.js'
import { rewritten } from './generated.js'
import { manPages } from './man-pages.js'
import { biomeLayers } from './rooms.js'

for (const document of documents) write(document, rewritten)
write('biome.layers.json', biomeLayers)
for (const [file, text] of Object.entries({ ...completions(), ...manPages() })) {
  write(file, () => text)
}

function write(file: string, made: (before: string) => string): void {
  const path = join(root, file)
  const before = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const after = made(before)
  if (after === before) return
  writeFileSync(path, after)
  process.stdout.write(`${file}\n`)
}
