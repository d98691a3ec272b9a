/** The words of dfs-mount: its options, and what may stand around them. */
import { Command, Option } from 'commander'
import { versionOption } from '../version.js'

/** The first port of the servers of --local, when no other is asked for, known from before, or free. */
export const defaultPort = 10_001

/** The grammar of dfs-mount. It throws CommanderError instead of ending the process. */
export function mountGrammar(): Command {
  const program = new Command('dfs-mount')
  program
    .description(
      'Mounts the files on the four servers as a folder. CONFIG is a configuration, as for --config.',
    )
    .version(...versionOption)
    .argument('[words...]')
    .usage('[options] [CONFIG] MOUNTPOINT')
    .option('--config <file>', 'user, password and the four servers (or DFC_CONFIG)')
    .option('--local [folder...]', 'run the four servers on this machine, in one folder or four')
    .option(
      '--port <first>',
      `with --local: the first of four ports; those of before, or ${defaultPort}, when left out`,
    )
    .option('--foreground', 'stay in the foreground; Ctrl-C unmounts')
    .option('--log <file>', 'write the log to this file; SIGHUP reopens it')
    .option('--metrics <address>', 'serve metrics for Prometheus there, such as 127.0.0.1:9464')
    .option('--unmount', 'store everything and unmount')
    .option(
      '--wait <time>',
      'wait for servers that are not up yet, at most 60s, for example; like -o wait=TIME',
      (time: string): void => {
        const { option } = program.opts<{ option?: readonly string[] }>()
        program.setOptionValue('option', collect(`wait=${time}`, option))
      },
    )
    .option('-o, --option <words>', 'ro, allow_other, acl, dirsync, fsname=NAME ...', collect)
  for (const [flags, description] of hidden) {
    program.addOption(new Option(flags, description).hideHelp())
  }
  return program.exitOverride()
}

/** Options that other programs use: mount(8), and the command that starts a daemon. */
const hidden: readonly (readonly [flags: string, description: string])[] = [
  ['--password-stdin', 'read the password from standard input'],
  ['-f, --fake', 'check everything but do not mount, as mount(8) does'],
  ['-s, --sloppy', 'ignore unknown words behind -o'],
  ['-v, --verbose', 'print what was done'],
  ['-n', 'accepted and ignored: /etc/mtab is never written'],
  ['-t, --types <type>', 'accepted and ignored: the type that mount(8) passes on'],
]

function collect(word: string, words: readonly string[] = []): readonly string[] {
  return [...words, word]
}
