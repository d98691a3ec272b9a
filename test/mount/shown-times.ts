/**
 * A time that a program has seen stays: what is stored later, and what others are told, is what was shown. Random
 * operations, each time followed by a stat of all that it may have concerned.
 */
import t from 'tap'
import { sleep, systemClock } from '../../src/clock.js'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses } from '../fixtures/servers.js'

t.setTimeout(180_000)
const servers = await startServerProcesses(t)
const mounts = new TestMounts(t, servers.config())
const mount = await mounts.start('mnt')

const seeds = [1, 2, 3, 4, 5, 6]
const places = 20
const operations = 6

const library = `
  const fs = require('node:fs')
  const paths = (place) => [place, ...['a', 'b'].flatMap((folder) =>
    ['', '/f', '/g', '/h', '/d'].map((name) => place + '/' + folder + name))]
  const timesOf = (path) => {
    const one = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
    const { ino, mtimeNs, ctimeNs, birthtimeNs } = one ?? {}
    return one === undefined ? 'none' : [ino, mtimeNs, ctimeNs, birthtimeNs].join(' ')
  }
  const timesIn = (place) => Object.fromEntries(paths(place).map((path) => [path, timesOf(path)]))
`

/**
 * In each place are folders `a` and `b`, and at first the files `a/f` and `a/g`. Prints what was done in each and
 * the times that were shown at the end; once more a moment later, and when what was open is closed.
 */
const exercise = `${library}
  const [, seed, places, count] = process.argv.map(Number)
  let state = seed
  const random = (below) => {
    state = (state * 1103515245 + 12345) % 2147483648
    return Math.floor((state / 2147483648) * below)
  }
  const pick = (list) => list[random(list.length)]
  const files = ['a/f', 'a/g', 'a/h', 'b/f', 'b/g', 'b/h']
  const folders = ['a/d', 'b/d']
  const any = ['a', 'b', ...folders, ...files]
  const open = []
  const openHere = []
  const operations = {
    create: (at) => fs.closeSync(fs.openSync(at(files), 'wx')),
    createOpen: (at) => openHere.push(fs.openSync(at(files), 'wx')),
    write: (at) => fs.writeFileSync(at(files), 'x'.repeat(random(100))),
    writeOpen: () => openHere.length > 0 && fs.writeSync(pick(openHere), 'y'),
    truncate: (at) => fs.truncateSync(at(files), random(50)),
    rename: (at) => fs.renameSync(at(files), at(files)),
    renameFolder: (at) => fs.renameSync(at(folders), at(folders)),
    link: (at) => fs.linkSync(at(files), at(files)),
    symlink: (at) => fs.symlinkSync('nowhere', at(files)),
    unlink: (at) => fs.unlinkSync(at(files)),
    mkdir: (at) => fs.mkdirSync(at(folders)),
    rmdir: (at) => fs.rmdirSync(at(folders)),
    chmod: (at) => fs.chmodSync(at(any), pick([0o700, 0o755])),
    times: (at) => fs.utimesSync(at(any), 1000, pick([2000, Date.now() / 1000])),
  }
  const ctimeOf = (times) => BigInt(times.split(' ')[2] ?? 0)
  const inoOf = (times) => times.split(' ')[0]
  const done = {}
  const shown = {}
  for (let index = 0; index < places; index += 1) {
    const place = [seed, index].join('-')
    for (const path of ['', '/a', '/b']) fs.mkdirSync(place + path)
    for (const name of ['f', 'g']) fs.writeFileSync(place + '/a/' + name, 'content')
    let before = timesIn(place)
    done[place] = []
    for (let step = 0; step < count; step += 1) {
      const name = pick(Object.keys(operations))
      const words = [name]
      const at = (list) => {
        words.push(pick(list))
        return place + '/' + words.at(-1)
      }
      try {
        operations[name](at)
      } catch (error) {
        words.push(error.code)
      }
      done[place].push(words.join(' '))
      const after = timesIn(place)
      for (const path in after) {
        const isSame = inoOf(after[path]) === inoOf(before[path])
        if (isSame && ctimeOf(after[path]) < ctimeOf(before[path])) done[place].push('BACK: ' + path)
      }
      before = after
    }
    shown[place] = before
    open.push(...openHere.splice(0))
  }
  const print = () => console.log(JSON.stringify(Object.fromEntries(Object.keys(done).map((place) => [place, timesIn(place)]))))
  console.log(JSON.stringify(done))
  console.log(JSON.stringify(shown))
  setTimeout(() => {
    print()
    for (const one of open) fs.closeSync(one)
    print()
  }, 500)
`

const look = `${library}
  console.log(JSON.stringify(Object.fromEntries(process.argv.slice(1).map((place) => [place, timesIn(place)]))))
`

type Times = Readonly<Record<string, Readonly<Record<string, string>>>>

/** What was shown later, where that differs, with what was done there. */
function differences(
  done: Record<string, readonly string[]>,
  shown: Times,
  later: Times,
): unknown[] {
  return Object.entries(shown).flatMap(([place, times]) =>
    Object.entries(times).flatMap(([path, time]) => {
      const now = later[place]?.[path]
      return now === time ? [] : [{ path, shown: time, now, done: done[place] }]
    }),
  )
}

t.test('a time that was shown is what is stored, and what others are told', async (t) => {
  const runs = []
  for (const seed of seeds) {
    const lines = (await mount.node(exercise, `${seed}`, `${places}`, `${operations}`)).split('\n')
    const [done, shown, later, closed] = lines.map((line) => JSON.parse(line))
    t.same(differences(done, shown, later), [], `seed ${seed}: a moment later`)
    t.same(differences(done, shown, closed), [], `seed ${seed}: once all is closed`)
    const back = Object.values<string[]>(done).filter((words) => words.join().includes('BACK'))
    t.same(back, [], `seed ${seed}: no ctime goes back`)
    runs.push({ seed, done, shown })
  }
  // What the kernel believes without a question is over by then.
  await sleep(systemClock, 1_200)
  const other = await mounts.start('other')
  for (const { seed, done, shown } of runs) {
    for (const on of [mount, other]) {
      const found = JSON.parse(await on.node(look, ...Object.keys(shown)))
      const where = on === mount ? 'the same' : 'another'
      t.same(differences(done, shown, found), [], `seed ${seed}: in the end on ${where} mount`)
    }
  }
})
