import t from 'tap'
import { redactedConfig, withoutSecrets } from '../../../src/cli/commands/redaction.js'

const secret = 'hunter 22'

t.test('a password in a file that is no TOML is found however it was written', (t) => {
  const texts: Readonly<Record<string, string>> = {
    'a quote is missing': `user = "alice"\npassword = "${secret}\ntls = "on"\n`,
    'another quote is missing': `password = '${secret}\n`,
    'a quote in front is missing': `password = ${secret}"\n`,
    'a colon': `password: ${secret}\n`,
    'a colon and quotes': `password: "${secret}"\n`,
    nothing: `password ${secret}\n`,
    'several lines': `password = """\n${secret}\n"""\nx =\n`,
  }
  for (const [what, text] of Object.entries(texts)) {
    const { text: shown, secrets } = redactedConfig(text, 'dfc.conf')
    t.match(shown, /^cannot be parsed: /, what)
    const log = withoutSecrets(`${shown}login of alice with ${secret}\n`, secrets)
    t.notMatch(log, /hunter|22/, what)
    t.match(log, /login of .* with/, what)
  }
  t.end()
})

t.test('a comment or the head of a table is no secret', (t) => {
  const { secrets } = redactedConfig('# those of four servers\n[users.alice]\nx\n', 'dfs.conf')
  t.same(secrets, [])
  t.end()
})

t.test('a folder is shown, and what is none is not', (t) => {
  const shown = (recovery: string) => redactedConfig(`recovery = "${recovery}"\n`, 'dfc.conf').text
  t.equal(shown('/home/alice/kept'), 'recovery = "/home/alice/kept"\n')
  t.equal(shown('../kept'), 'recovery = "../kept"\n')
  t.equal(shown('hunter22'), 'recovery = (removed)\n')
  t.end()
})
