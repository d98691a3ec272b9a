/**
 * Undoes everything that a run has begun (processes, mounts, folders) when the run ends: at the end of main, after a
 * failure, on Ctrl-C and on SIGTERM. The last thing begun is undone first.
 */
type Undo = () => Promise<void>

const undoes: Undo[] = []
let ending: Promise<void> | undefined

/** Registers how to undo what has just begun. Returns how to do so earlier; it is done only once. */
export function undoLater(undo: Undo): Undo {
  let done: Promise<void> | undefined
  const once = (): Promise<void> => {
    done ??= undo().finally(() => {
      const index = undoes.indexOf(once)
      if (index !== -1) undoes.splice(index, 1)
    })
    return done
  }
  undoes.push(once)
  return once
}

/** Undoes everything. A failure is printed, and the rest is undone all the same. */
export function cleanUp(): Promise<void> {
  ending ??= undoAll()
  return ending
}

async function undoAll(): Promise<void> {
  for (let undo = undoes.at(-1); undo !== undefined; undo = undoes.at(-1)) {
    try {
      await undo()
    } catch (error) {
      process.stderr.write(`bench: clean-up: ${String(error)}\n`)
    }
  }
}

const statusOfSignal = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

for (const [signal, status] of Object.entries(statusOfSignal)) {
  process.on(signal, () => {
    process.stderr.write(`\nbench: ${signal}: cleaning up\n`)
    void cleanUp().then(() => process.exit(status))
  })
}

for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.stack : String(error)}\n`)
    void cleanUp().then(() => process.exit(1))
  })
}
