import t from 'tap'
import { textOf } from '../../../src/byte-text.js'
import { Filter, type Rule } from '../../../src/cli/transfer/filter.js'

const exclude = (pattern: string): Rule => ({ kind: 'exclude', pattern })
const include = (pattern: string): Rule => ({ kind: 'include', pattern })

/** The paths that a filter takes. Those with a slash at the end are folders. */
function taken(rules: readonly Rule[], paths: string): string {
  const filter = new Filter(rules)
  const takes = (path: string): boolean =>
    path.endsWith('/') ? filter.takesFolder(path.slice(0, -1)) : filter.takesFile(path)
  return paths.split(' ').filter(takes).join(' ')
}

t.test('takes everything without rules', async (t) => {
  t.equal(taken([], 'a .b c/ c/d'), 'a .b c/ c/d')
})

t.test('a name without a slash matches at any depth', async (t) => {
  t.equal(taken([exclude('*.o')], 'a.o a.c d/a.o d/.o d/e/x.o d/x.oo'), 'a.c d/x.oo')
  t.equal(
    taken([exclude('node_modules')], 'node_modules/ a/node_modules/ my_node_modules'),
    'my_node_modules',
  )
})

t.test('a slash in front holds a pattern to the folder that was named', async (t) => {
  t.equal(taken([exclude('/build')], 'build build/ a/build'), 'a/build')
  t.equal(taken([exclude('/a/*.c')], 'a/x.c a/b/x.c b/a/x.c'), 'a/b/x.c b/a/x.c')
})

t.test('a path matches where it ends with the pattern', async (t) => {
  t.equal(taken([exclude('a/b')], 'a/b c/a/b ca/b a/b/c a/x/b'), 'ca/b a/b/c a/x/b')
})

t.test('a slash at the end means folders alone', async (t) => {
  t.equal(taken([exclude('cache/')], 'cache cache/ a/cache a/cache/'), 'cache a/cache')
})

t.test('two stars match slashes, one star and a question mark do not', async (t) => {
  t.equal(taken([exclude('/a/**/z')], 'a/z a/b/z a/b/c/z b/z'), 'b/z')
  t.equal(taken([exclude('/a*z')], 'az abz a/z'), 'a/z')
  t.equal(taken([exclude('/a?z')], 'abz a/z az'), 'a/z az')
  t.equal(taken([exclude('**/x')], 'x a/x y'), 'y')
})

t.test(
  'knows braces and brackets, and takes a dot and an exclamation mark as they are',
  async (t) => {
    t.equal(taken([exclude('*.{jpg,png}')], 'a.jpg a.png a.gif'), 'a.gif')
    t.equal(taken([exclude('[a-c]')], 'a b d'), 'd')
    t.equal(taken([exclude('*')], '.hidden a'), '')
    t.equal(taken([exclude('!a')], '!a a'), 'a')
  },
)

t.test('reads brackets, escapes and three stars as shells and rsync do', async (t) => {
  t.equal(taken([exclude('[!a]')], 'a b !'), 'a')
  t.equal(taken([exclude('[!a-c]*')], 'ax xa d/ax d/xa'), 'ax d/ax')
  t.equal(taken([exclude('\\[!a]')], '[!a] a'), 'a')
  t.equal(taken([exclude('\\d*')], 'dx 1x'), '1x')
  t.equal(taken([exclude('a\\-b\\,c\\é')], 'a-b,cé x'), 'x')
  t.equal(taken([exclude('\\*')], '* a'), 'a')
  t.equal(taken([exclude('end\\')], 'end\\ end'), 'end')
  t.equal(taken([exclude('a/***')], 'a/ a/b a/b/c x/a/ ab'), 'ab')
  t.equal(taken([include('/a/***'), exclude('*')], 'a/ a/b a/b/c b/ b/a'), 'a/ a/b a/b/c')
})

t.test('a question mark matches one character, whatever it is', async (t) => {
  const byte = textOf(Buffer.of(0xe9))
  t.equal(taken([exclude('?')], `😀 é ${byte} ab`), 'ab')
  t.equal(taken([exclude('/é?')], 'éa é'), 'é')
  t.notOk(new Filter([exclude('a?b*')]).takesFile('a\nb\n'))
})

t.test('the first rule that matches decides', async (t) => {
  const rules = [include('keep.log'), exclude('*.log')]
  t.equal(taken(rules, 'keep.log other.log a'), 'keep.log a')
  t.equal(taken(rules.toReversed(), 'keep.log other.log a'), 'a')
})

t.test('with --include alone the rest is left out, and folders are entered', async (t) => {
  t.equal(taken([include('*.jpg')], 'a.jpg a.txt d/ d/b.jpg'), 'a.jpg d/ d/b.jpg')
})

t.test('refuses a pattern that matches nothing', async (t) => {
  for (const pattern of ['', '/', '//', './a', 'a//b', '/a/../b', '.']) {
    t.throws(() => new Filter([exclude(pattern)]), { code: 'invalid', message: /matches nothing/ })
  }
  t.throws(() => new Filter([exclude('[z-a]')]), { code: 'invalid', message: /is no pattern/ })
})
