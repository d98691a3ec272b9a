/** The programs in docs/fuse.md run as they stand there. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { noMounts, startProgram } from '../fixtures/fuse-program.js'

const project = resolve(import.meta.dirname, '../../..')
const page = readFileSync(join(project, 'docs/fuse.md'), 'utf8')
const programs = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, text = '']) => text)

t.equal(programs.length, 2)

for (const [index, text] of programs.entries()) {
  const expected = index === 0 ? ['greeting', 'hello'] : ['test', 'hello world']
  t.test(
    `program ${index + 1} of docs/fuse.md shows ${expected.join()}`,
    { skip: noMounts },
    async (t) => {
      // Within the project, whose name it imports.
      const folder = join(project, 'dist/documented')
      mkdirSync(folder, { recursive: true })
      const file = join(folder, `program-${process.pid}-${index}.mjs`)
      writeFileSync(file, text)
      t.teardown(() => rmSync(file))
      const program = await startProgram(t, file)
      const { out, problems } = await program.sh('ls; cat *; echo x >new')
      t.equal(out.trim(), expected.join('\n'))
      t.match(problems, /new: (Function not implemented|Operation not permitted)/)
      t.equal(await program.end(), 0)
    },
  )
}
