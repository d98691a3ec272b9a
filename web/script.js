// The page of "dfc web". It asks for what it shows with the token behind # in its address, and changes nothing.
const token = location.hash.slice(1)
const byId = (id) => document.getElementById(id)
const statusEveryMs = 5000

async function ask(path) {
  const response = await fetch(path, { headers: { authorization: `Bearer ${token}` } })
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.error)
  return answer
}

/** An element with a class, and texts and elements in it. Texts are never taken for HTML. */
function make(tag, className, ...content) {
  const element = document.createElement(tag)
  if (className !== '') element.className = className
  element.append(...content.map((one) => (one instanceof Node ? one : String(one))))
  return element
}

function headCell(text, scope = 'row') {
  const cell = make('th', '', text)
  cell.scope = scope
  return cell
}

function button(text, action) {
  const element = make('button', '', text)
  element.type = 'button'
  element.addEventListener('click', action)
  return element
}

function sizeText(bytes) {
  if (bytes === null) return '-'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

const rowsOf = (id) => byId(id).tBodies[0]

// -- servers -------------------------------------------------------------------------------------

async function showStatus() {
  // A page that is not seen must not keep mounts from being alone.
  if (document.hidden) return setTimeout(showStatus, statusEveryMs)
  try {
    const status = await ask('/api/status')
    byId('user').textContent = `of ${status.user}`
    byId('verdict').textContent = status.verdict
    byId('verdict').className = status.complete ? 'good' : 'bad'
    rowsOf('servers').replaceChildren(...status.servers.map(serverRow))
    byId('remarks').replaceChildren(
      ...status.servers.flatMap(({ remarks }) => remarks.map((remark) => make('li', '', remark))),
    )
    const { quota } = status
    byId('quota').textContent =
      quota === null
        ? 'No quota.'
        : `Quota ${sizeText(quota.bytes)}, ${sizeText(quota.freeBytes)} of it free.`
    byId('repairs').replaceChildren(...repairItems(status.repairs))
  } catch (error) {
    byId('verdict').textContent = `No answer: ${error.message}`
    byId('verdict').className = 'bad'
  }
  setTimeout(showStatus, statusEveryMs)
}

function serverRow(server) {
  const { name, state, latencyMs, usedBytes, freeBytes, registers, pieces, missing } = server
  const lack = missing === null ? '-' : `${missing.registers} + ${missing.pieces}`
  const isWell = state === 'up' && (missing === null || missing.registers + missing.pieces === 0)
  return make(
    'tr',
    '',
    headCell(name),
    make('td', state === 'down' ? 'bad' : isWell ? 'good' : 'some', state),
    make('td', 'number', latencyMs === null ? '-' : `${latencyMs.toFixed(1)} ms`),
    make('td', 'number', sizeText(usedBytes)),
    make('td', 'number', sizeText(freeBytes)),
    make('td', 'number', registers ?? '-'),
    make('td', 'number', pieces ?? '-'),
    make('td', 'number', lack),
    make('td', 'address', server.address),
  )
}

function repairItems(repairs) {
  if (repairs.length === 0) return [make('li', '', 'No mount of this account on this machine repairs.')]
  return repairs.map(({ mountpoint, repair, log }) => {
    const { step, isRunning, left, lost, piecesCopied, registersCopied } = repair
    const of = step?.total === undefined ? '' : ` of ${step.total}`
    const now = step ? `${step.phase} ${step.done}${of}` : isRunning ? 'looking' : 'idle'
    const done = `${registersCopied} names and inodes and ${piecesCopied} pieces copied so far`
    const rest = left === undefined ? '' : `, ${left} left, ${lost} pieces lost for good`
    const waiting = log.changes === 0 ? '' : `; ${log.changes} changes are not stored yet`
    return make('li', '', `${mountpoint}: ${now}; ${done}${rest}${waiting}`)
  })
}

// -- files ---------------------------------------------------------------------------------------

async function showFolder(path) {
  try {
    const folder = await ask(`/api/folder?path=${encodeURIComponent(path)}`)
    byId('files-problem').textContent = folder.isCut
      ? `Only the first ${folder.entries.length} names are shown.`
      : ''
    byId('crumbs').replaceChildren(...crumbsOf(folder))
    rowsOf('files').replaceChildren(...folder.entries.map(fileRow))
    rowsOf('folder-without').replaceChildren(
      ...folder.without.map(({ servers, incomplete }) =>
        make(
          'tr',
          '',
          headCell(servers.join(' and ')),
          make('td', `number ${incomplete === 0 ? 'good' : 'bad'}`, incomplete),
        ),
      ),
    )
  } catch (error) {
    byId('files-problem').textContent = `${path}: ${error.message}`
  }
}

function crumbsOf({ path, shown }) {
  const [names, labels] = [path, shown].map((one) => one.split('/').filter((name) => name !== ''))
  const at = (count) => `/${names.slice(0, count).join('/')}`
  return ['all files', ...labels].map((label, index) =>
    make('li', '', button(label, () => showFolder(at(index)))),
  )
}

function fileRow({ shown, path, type, size, incomplete }) {
  const label =
    type === 'folder'
      ? button(`${shown}/`, () => showFolder(path))
      : type === 'file'
        ? button(shown, () => showFile(path))
        : shown
  const words = incomplete ? 'not in full' : 'yes'
  return make(
    'tr',
    '',
    headCell(label),
    make('td', '', type),
    make('td', 'number', type === 'file' ? sizeText(size) : ''),
    make('td', incomplete ? 'bad' : '', words),
  )
}

async function showFile(path) {
  try {
    const file = await ask(`/api/file?path=${encodeURIComponent(path)}`)
    byId('files-problem').textContent = ''
    byId('pieces-section').hidden = false
    byId('pieces-name').textContent = file.shown
    const shown = file.segments.length
    byId('pieces-about').textContent =
      file.segmentCount === 0
        ? `${sizeText(file.size)}, without content on the servers.`
        : `${sizeText(file.size)} in ${file.segmentCount} segment${file.segmentCount === 1 ? '' : 's'}` +
          (shown < file.segmentCount ? `, of which the first ${shown} are drawn.` : '.')
    const titles = ['Segment', ...file.servers.map(({ name, isUp }) => (isUp ? name : `${name} (down)`))]
    byId('pieces').tHead.replaceChildren(
      make('tr', '', ...titles.map((title) => headCell(title, 'col'))),
    )
    rowsOf('pieces').replaceChildren(...file.segments.map(segmentRow))
    rowsOf('file-without').replaceChildren(
      ...file.without.map(({ servers, isIncomplete }) =>
        make(
          'tr',
          '',
          headCell(servers.join(' and ')),
          make('td', isIncomplete ? 'bad' : 'good', isIncomplete ? 'would be incomplete' : 'stays whole'),
        ),
      ),
    )
    byId('pieces-title').focus()
  } catch (error) {
    byId('files-problem').textContent = `${path}: ${error.message}`
  }
}

function segmentRow({ length, servers }, index) {
  const cells = servers.map(({ held, missing, spare }) => {
    const pieces = held.map((piece) =>
      make('span', 'piece', spare.includes(piece) ? `P${piece} (extra)` : `P${piece}`),
    )
    const lacking = missing.map((piece) => make('span', 'piece missing', `(P${piece})`))
    return make('td', missing.length > 0 ? 'bad' : 'good', ...pieces, ...lacking)
  })
  return make('tr', '', headCell(`${index + 1}: ${sizeText(length)}`), ...cells)
}

showStatus()
showFolder('/')
