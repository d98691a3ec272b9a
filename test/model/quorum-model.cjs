'use strict';
// Randomized model of the replication rules (docs/decisions/0001). node quorum-model.cjs [seed0] [count] [flags...]
// flags: -name turns a correction off;  "written" = all off; v=1 traces.
const FLAGS = { nobody: 1, installfirst: 1, empty: 1, ballot: 1, block: 1, epoch: 1, fill3: 1, floor: 1, clock: 1, sess: 1, readfix: 1, twophase: 1, fate: 1, shared: 1, rotskip: 1, rotmark: 1, rotquorum: 1, rotlock: 1, heard: 1, few: 1, ahead: 1, servertime: 1, bounded: 1, close: 1, outvote: 1, alone: 1 };
function rngOf(s) { let a = s >>> 0; return () => { a = (a + 0x6D2B79F5) >>> 0; let t = a; t = Math.imul(t ^ (t >>> 15), t | 1); t ^= t + Math.imul(t ^ (t >>> 7), t | 61); return ((t ^ (t >>> 14)) >>> 0) / 4294967296; }; }

function runSeed(seed, F, opt) {
  const rnd = rngOf(seed), ri = (n) => Math.floor(rnd() * n), chance = (p) => rnd() < p;
  // clocks=1: a client and, for a while, a server have clocks that are off by BIG; k0 and on some seeds the fence are from the far future. What is AHEAD of a server's clock is refused.
  const BIG = 100000, AHEAD = 1000, FAR = 3 * BIG, ms = (v) => Math.floor(v / 16);
  const NK = opt.keys || 3, NC = opt.clients || 3, END = opt.end || 6000, TMO = 60;
  let now = 0, seq = 0; const q = []; const viol = []; const log = []; const st = { ops: 0, acked: 0, failed: 0, unknown: 0, reads: 0, msgs: 0, lost: 0, crash: 0, wipe: 0, pause: 0, cut: 0, rec: 0, fill: 0, sweep: 0, ccrash: 0, late: 0, rot: 0, restored: 0, few: 0 };
  const T = (s) => { if (opt.trace) log.push(now + ' ' + s); };
  const bad = (s) => { viol.push(s); T('!!! ' + s); };
  function at(t, f) { const e = { t, s: seq++, f }; let i = q.length; q.push(e); while (i) { const p = (i - 1) >> 1; if (q[p].t < e.t || (q[p].t === e.t && q[p].s < e.s)) break; q[i] = q[p]; i = p; } q[i] = e; }
  function pop() { const top = q[0], e = q.pop(); if (q.length) { let i = 0; for (;;) { let c = 2 * i + 1; if (c >= q.length) break; if (c + 1 < q.length && (q[c + 1].t < q[c].t || (q[c + 1].t === q[c].t && q[c + 1].s < q[c].s))) c++; if (e.t < q[c].t || (e.t === q[c].t && e.s < q[c].s)) break; q[i] = q[c]; i = c; } q[i] = e; } return top; }
  let quiet = false;
  const bodies = new Map(), ackedT = new Map(), chosenC = new Map(), failedT = new Set(), reads = [];
  const noteC = (tid, why) => { if (!chosenC.has(tid)) { chosenC.set(tid, now); T(`chosen C ${tid} ${why}`); } };
  // ---------------- server
  class Server {
    constructor(id) { this.id = id; this.up = true; this.off = 0; this.pausedTo = 0; this.wipe(); this.blank = false; }
    wipe() { this.blank = true; this.epoch = 0; this.regs = new Map(); this.recs = new Map(); this.locks = new Map(); this.sh = new Map(); this.floor = 0; this.fence = 0; this.sess = 0; this.inc = ++seq; this.rot = new Set(); this.skips = 0; }
    reg(k) { return this.regs.get(k) || { ver: 0, val: null }; }
    set(k, ver, val) { if (this.rot.has(k)) { if (F.rotskip) { this.skips++; return; } this.rot.delete(k); this.regs.delete(k); } const c = this.reg(k); if (ver > c.ver && (!F.floor || this.regs.has(k) || ver > this.floor)) this.regs.set(k, { ver, val }); }
    // too far ahead of this clock, and not just above what is here already
    isAhead(tid, here = []) { return opt.clocks && F.ahead && ms(tid) > AHEAD + Math.max(now + this.off, ...(F.close ? [this.fence, ...here] : []).map(ms)); }
    held() { return [...this.regs.values()].map((r) => r.ver); }
    below(body) { return body ? Object.keys(body.pre).map((k) => this.reg(k).ver) : []; }
    rec(tid) { let r = this.recs.get(tid); if (!r) this.recs.set(tid, r = { tid, body: null, y: false, prom: 0, acc: null, dec: null, have: 0, at: now }); return r; }
    lock(r) { for (const k in r.body.w) this.locks.set(k, r.tid); if (F.shared) for (const k in r.body.pre) if (!(k in r.body.w)) { if (!this.sh.has(k)) this.sh.set(k, new Set()); this.sh.get(k).add(r.tid); } }
    blocker(tid, body) { for (const k in body.pre) { const l = this.locks.get(k); if (l && l !== tid && (F.shared || k in body.w || this.recs.get(l).y)) return l; if (k in body.w) for (const t of this.sh.get(k) || []) if (t !== tid) return t; } return 0; }
    unlock(r) { for (const [k, t] of this.locks) if (t === r.tid) this.locks.delete(k); for (const x of this.sh.values()) x.delete(r.tid); }
    decide(tid, v, body, installed) {
      if (!this.recs.has(tid) && F.floor && tid <= this.floor) return { forgot: 1 };
      if (!this.recs.has(tid) && v === 'C' && this.isAhead(tid, this.held())) return { no: 'ahead' };
      const r = this.rec(tid); if (v === 'C' && !r.dec && !r.body && !body && !installed) { if (!r.prom) this.recs.delete(tid); return { no: 1 }; }
      if (r.dec) { if (r.dec !== v && F.ballot) bad(`split: server ${this.id} has ${tid}=${r.dec}, told ${v}`); return { ok: 1, dec: r.dec }; }
      this.unlock(r); r.dec = v; r.body = r.body || body;
      if (v === 'C') { noteC(tid, 'decide'); if (r.body) for (const k in r.body.w) this.set(k, tid, r.body.w[k]); }
      if (F.nobody) r.body = null;
      return { ok: 1, dec: v };
    }
    handle(m) { const r = this.on(m); r.epoch = this.epoch; r.inc = this.inc; if (this.blank) r.blank = 1; return r; }
    on(m) {
      const { tid } = m;
      if (m.op === 'fillstart') { if (!this.blank) return { no: 1 }; if (F.sess) { if (m.epoch <= this.sess) return { no: 1, sess: this.sess }; } this.sess = m.epoch; return { ok: 1 }; }
      if (m.op === 'fill') { if (F.sess ? (!this.blank || m.epoch !== this.sess) : false) return { no: 1 };
        for (const [k, r] of m.regs) this.set(k, r.ver, r.val);
        if (m.fin) { if (!this.blank) return { no: 1 }; for (const x of m.recs) { const r = this.rec(x.tid); if (!r.dec && x.dec) { r.body = x.body; r.dec = x.dec; } } this.floor = Math.max(this.floor, m.floor); this.fence = Math.max(this.fence, m.fence); this.epoch = Math.max(this.epoch, m.epoch); this.blank = false; T(`server ${this.id} filled epoch ${this.epoch}`); }
        return { ok: 1 }; }
      if (this.blank) return { blank: 1 };
      switch (m.op) {
        case 'epoch': this.epoch = Math.max(this.epoch, m.epoch); return { ok: 1 };
        case 'read': { if (this.rot.has(m.key)) return { rot: 1 }; const r = this.reg(m.key), l = this.locks.get(m.key); const x = l && this.recs.get(l); return { ver: r.ver, val: r.val, lock: l || 0, body: x && x.body, fence: this.fence }; }
        case 'status': { const r = this.recs.get(tid); if (!r) return { y: false, has: false, forgot: F.floor && tid <= this.floor }; return { y: r.y && r.dec !== 'A', accC: !!(r.acc && r.acc.v === 'C'), dec: r.dec, body: r.body }; }
        // what has rotted answers nothing; its value comes back from a quorum of the others, unless something about it was decided or locked here since it was asked for
        case 'rotten': return { keys: [...this.rot].filter((k) => !F.rotlock || !this.locks.has(k)), mark: this.skips };
        case 'restore': { if (!this.rot.has(m.key) || (F.rotmark && m.mark !== this.skips) || (F.rotlock && this.locks.has(m.key))) return { no: 1 }; this.rot.delete(m.key); this.regs.delete(m.key); if (m.ver) this.regs.set(m.key, { ver: m.ver, val: m.val }); st.restored++; return { ok: 1 }; }
        case 'install': if (this.isAhead(m.ver, this.held())) return { no: 'ahead' }; this.set(m.key, m.ver, m.val); return { ok: 1 };
        case 'commit': {
          for (const s of m.settles || []) this.decide(s.tid, 'C', s.body);
          const old = this.recs.get(tid);
          if (old) { if (old.dec) return { dec: old.dec }; if (old.y) return { yes: 1 }; if (old.prom) return { no: 'promised' }; }
          if (F.epoch && m.epoch < this.epoch) return { no: 'epoch' };
          if (F.floor && tid <= this.fence) return { no: 'fence', hint: this.fence };
          { const l = this.blocker(tid, m.body); if (l) return { no: 'locked', by: l }; }
          for (const k in m.body.pre) { if (this.rot.has(k)) return { rot: 1 };
            const p = m.body.pre[k], c = this.reg(k);
            if (p.abs) { if (c.val !== null) return c.ver < p.ver ? { no: 'stale', key: k } : { no: 'conflict' }; if (F.clock && c.ver > p.ver && c.ver > this.fence) return { no: 'conflict', hint: c.ver }; }
            else if (c.ver !== p.ver) return c.ver < p.ver ? { no: 'stale', key: k } : { no: 'conflict', hint: c.ver };
            if (F.clock && tid <= c.ver) return { no: 'conflict', hint: c.ver };
          }
          if (this.isAhead(tid, this.below(m.body))) return { no: 'ahead' };
          for (const k of m.body.empty || []) if (this.rot.has(k)) return { rot: 1 }; else if (F.empty && this.reg(k).val !== null && m.body.w[k] !== null) return { no: 'notEmpty', key: k };
          const r = this.rec(tid); r.y = true; r.body = m.body; this.lock(r); return { yes: 1 };
        }
        case 'prepare': {
          if (!this.recs.has(tid) && F.floor && tid <= this.floor) return { forgot: 1 };
          const r = this.rec(tid); if (r.dec) return { dec: r.dec, body: r.body };
          if (m.b <= r.prom) return { nack: r.prom }; r.prom = m.b; return { prom: 1, y: r.y, everC: r.everC, acc: r.acc, body: r.body };
        }
        case 'accept': {
          if (!this.recs.has(tid) && F.floor && tid <= this.floor) return { forgot: 1 };
          const r = this.rec(tid); if (r.dec) return { dec: r.dec, body: r.body };
          if (m.b < r.prom) return { nack: r.prom };
          if (m.v === 'C') { const l = F.shared ? this.blocker(tid, m.body) : Object.keys(m.body.w).map((k) => this.locks.get(k)).find((l) => l && l !== tid); if (l && F.block) return { locked: l }; }
          r.prom = m.b; r.acc = { b: m.b, v: m.v }; r.body = r.body || m.body; if (m.v === 'C') { r.everC = true; this.lock(r); } return { acc: 1 };
        }
        case 'decide': { const r = this.decide(tid, m.v, m.body, m.installed);
          if (!F.floor && m.have) { const x = this.recs.get(tid); if (x) { x.have |= m.have; if (x.have === 15 && x.dec === 'C') { for (const k in x.body.w) { const c = this.reg(k); if (c.val === null && c.ver === tid) this.regs.delete(k); } this.recs.delete(tid); } } }
          return r; }
        case 'survey': return { recs: [...this.recs.values()].map((r) => ({ tid: r.tid, dec: r.dec, body: r.body, at: r.at, y: r.y, have: r.have })), regs: m.regs ? [...this.regs].filter(([k]) => !this.rot.has(k)) : null, floor: this.floor, fence: this.fence };
        // agreed: the three others have taken it, or have none that is so far ahead; then one that was taken while a clock was off is taken back
        case 'fence': if (this.isAhead(m.f) && !(F.outvote && m.agreed)) return { no: 'ahead' };
          if (F.alone && m.agreed && ms(this.fence) > ms(m.f) + AHEAD && Math.abs(ms(m.f) - now - this.off) <= AHEAD) { this.fence = Math.max(m.f, this.floor); this.inc = ++seq; return { ok: 1 }; }
          this.fence = Math.max(this.fence, m.f); return { ok: 1 };
        case 'floor': { if (m.inc !== this.inc || this.isAhead(m.f)) return { no: 1 }; this.floor = Math.max(this.floor, m.f); this.fence = Math.max(this.fence, m.f);
          for (const [t, r] of this.recs) if (t <= m.f) { if (!r.dec && r.y) bad(`floor drops undecided ${t} on ${this.id}`); this.unlock(r); this.recs.delete(t); }
          for (const [k, r] of this.regs) if (r.val === null && r.ver <= m.f) this.regs.delete(k); return { ok: 1 }; }
      }
      throw Error(m.op);
    }
  }
  const S = [0, 1, 2, 3].map((i) => new Server(i));
  if (opt.clocks) { const wrong = S[ri(4)]; wrong.off = chance(0.5) ? BIG : -BIG; const tid = FAR * 16; bodies.set(tid, { w: { k0: 'old' }, pre: { k0: { abs: 1, ver: 0 } } }); chosenC.set(tid, 0); for (const s of S) s.regs.set('k0', { ver: tid, val: 'old' }); if (chance(0.3)) for (const s of S) s.fence = 2 * BIG * 16; else if (chance(0.3)) wrong.fence = 2 * BIG * 16; }
  // ---------------- network
  const NR = opt.rep ?? 2; const cut = [...Array(NC + NR + 2)].map(() => [0, 0, 0, 0]);
  function delay() { if (quiet) return 1 + ri(3); const x = rnd(); if (x < 0.02) { st.late++; return 100 + ri(2500); } return x < 0.15 ? 10 + ri(60) : 1 + ri(8); }
  function lost(c, s) { if (quiet) return false; return cut[c.id][s] > now || chance(opt.loss ?? 0.02); }
  function send(c, s, m, cb) {
    st.msgs++; if (lost(c, s)) { st.lost++; return; }
    const del = () => { const v = S[s]; if (!v.up) return; if (v.pausedTo > now) return at(v.pausedTo + ri(5), del);
      const r = v.handle(m); T(`s${s} <- c${c.id} ${fmt(m)} => ${fmt(r)}`);
      if (lost(c, s) || (opt.deaf && !quiet && m.first && chance(opt.deaf))) { st.lost++; return; } at(now + delay(), () => { const g = c.gen; if (c.gen === g) cb(r, s); }); };
    at(now + delay(), del);
  }
  const fmt = (o) => JSON.stringify(o, (k, v) => (k === 'recs' || k === 'regs') && v ? '#' + v.length : k === 'epoch' || k === 'inc' ? undefined : v);
  // ---------------- client coroutines
  class Client { constructor(id) { this.id = id; this.alive = true; this.gen = 0; this.pausedTo = 0; this.hlc = 0; this.skew = opt.skew ? ri(2 * opt.skew) - opt.skew : ri(60) - 30; this.epoch = 0; this.bal = 0; this.known = []; this.lazy = []; this.fences = [0, 0, 0, 0]; this.used = new Set(); if (opt.clocks) this.skew = id === 0 || !F.servertime ? BIG : 0; }
    // the median of what the servers' clocks show; client 0 knows only its own
    time() { if (!opt.clocks || this.id === 0 || !F.servertime) return now + this.skew; const o = S.map((s) => s.off).sort((a, b) => a - b); return now + (o[1] + o[2]) / 2; }
    ts(min = 0) {
      if (opt.clocks && F.bounded) {
        this.hlc = Math.max(this.hlc + 1, this.time()); const below = Math.max(min, [...this.fences].sort((a, b) => b - a)[1]); if (this.hlc > ms(below)) return this.hlc * 16 + this.id;
        let far = ms(below) + 1; while (this.used.has(far)) far++; this.used.add(far); return far * 16 + this.id; // for this one only
      } this.hlc = Math.max(this.hlc + 1, now + this.skew, Math.floor(min / 16) + 1); return this.hlc * 16 + this.id; }
    see(v) { if (v && !(opt.clocks && F.bounded && ms(v) > this.time() + AHEAD)) this.hlc = Math.max(this.hlc, Math.floor(v / 16) + 1); } }
  function spawn(c, g, done) { const gen = c.gen;
    const step = (v) => { if (c.gen !== gen) return; if (c.pausedTo > now) return at(c.pausedTo, () => step(v)); const r = g.next(v); if (r.done) { if (done) done(r.value); return; } let once = false; r.value((x) => { if (once) return; once = true; step(x); }); };
    step(); }
  const sleep = (d) => (res) => at(now + d, () => res());
  function* rpc(c, targets, mk, enough, tmo = TMO) {
    return yield (res) => { const out = [undefined, undefined, undefined, undefined]; let n = 0; const end = () => res(out);
      for (const s of targets) { const m = typeof mk === 'function' ? mk(s) : mk; if (!m) { n++; continue; } send(c, s, m, (r) => { if (out[s] === undefined) { out[s] = r; n++; c.epoch = Math.max(c.epoch, r.epoch); c.see(r.hint); c.see(r.fence); if (r.fence !== undefined) c.fences[s] = r.fence; if (r.no === 'fence') c.fences[s] = r.hint; c.see(r.ver); if (n === targets.length || (enough && enough(out))) end(); } }); }
      at(now + tmo, end); };
  }
  const ALL = [0, 1, 2, 3], good = (o) => o.filter((r) => r && !r.blank && !r.rot);
  const mask = (o, f) => o.reduce((a, r, i) => a | (r && f(r) ? 1 << i : 0), 0);
  function* tellAll(c, tid, v, body, tmo = TMO) { const o = yield* rpc(c, ALL, { op: 'decide', tid, v, body }, null, tmo); const have = mask(o, (r) => r.ok && r.dec === v); if (!F.floor && v === 'C' && have === 15) yield* rpc(c, ALL, { op: 'decide', tid, v, body, have }, null, tmo); return have; }
  function* recover(c, tid, body, depth = 0) {
    st.rec++;
    if (depth > 6) return 'U';
    if (!F.ballot) { // the fate rule as written
      const o = yield* rpc(c, ALL, { op: 'status', tid }); const g = good(o); if (g.length < 3) return 'U';
      for (const r of g) if (r.body) body = r.body;
      const d = g.find((r) => r.dec); let v = d ? d.dec : g.filter((r) => !r.y).length >= 2 ? 'A' : 'C'; if (v === 'C' && !body) return 'U';
      if (!d && v === 'C') noteC(tid, 'fate'); T(`fate ${tid} ${v}`); yield* tellAll(c, tid, v, body); return v;
    }
    for (let i = 0; i < 6; i++) {
      const b = (c.bal += 1) * 16 + c.id; let o = yield* rpc(c, ALL, { op: 'prepare', tid, b });
      for (const r of good(o)) { if (r.nack) c.bal = Math.max(c.bal, r.nack >> 4); if (r.body) body = r.body; }
      const d = good(o).find((r) => r.dec); if (d) { yield* tellAll(c, tid, d.dec, body); return d.dec; }
      if (good(o).find((r) => r.forgot)) return 'F';
      const p = good(o).filter((r) => r.prom); if (p.length < 3) { yield sleep(1 + ri(40 << Math.min(i, 3))); continue; }
      const acc = p.filter((r) => r.acc).sort((x, y) => y.acc.b - x.acc.b)[0];
      const yes = p.filter((r) => r.y).length, held = p.filter((r) => r.y || r.everC).length; const v = F.fate && held + (4 - p.length) < 3 ? 'A' : acc ? acc.acc.v : yes + (4 - p.length) >= 3 ? 'C' : 'A';
      for (let j = 0; j < 4; j++) {
        o = yield* rpc(c, ALL, { op: 'accept', tid, b, v, body });
        const dd = good(o).find((r) => r.dec); if (dd) { yield* tellAll(c, tid, dd.dec, body); return dd.dec; }
        if (good(o).find((r) => r.forgot)) return 'F';
        if (good(o).filter((r) => r.acc).length >= 3) { if (v === 'C') noteC(tid, 'ballot'); else if (chosenC.has(tid)) bad(`abort chosen for committed ${tid}`); T(`chosen ${v} ${tid} b${b}`); yield* tellAll(c, tid, v, body); return v; }
        const lk = good(o).find((r) => r.locked); if (!lk) break; yield* recover(c, lk.locked, null, depth + 1);
      }
      for (const r of good(o)) if (r.nack) c.bal = Math.max(c.bal, r.nack >> 4);
      yield sleep(1 + ri(40));
    }
    return 'U';
  }
  function* read(c, key, force) {
    const start = now; st.reads++;
    for (let i = 0; i < (force || 6); i++) {
      const two = i === 0 ? [ri(4)] : ALL; if (i === 0) { let x; do x = ri(4); while (x === two[0]); two.push(x); }
      const o = yield* rpc(c, two, { op: 'read', key }); const g = good(o); if (g.length < 2) continue;
      let best = g.reduce((a, r) => r.ver > a.ver ? r : a); const locks = [...new Set(g.map((r) => r.lock).filter((l) => l && (l > best.ver || !F.readfix)))];
      if (!locks.length && (F.readfix || g.every((r) => r.ver === best.ver) || g.length > 2)) return { start, end: now, key, ver: best.ver, val: best.val };
      if (F.readfix && g.length >= 3 && locks.every((l) => g.filter((r) => r.lock !== l && r.ver < l).length >= 2)) return { start, end: now, key, ver: best.ver, val: best.val };
      if (i === 0) continue;
      if (i === 1) { yield sleep(TMO); continue; }
      for (const l of locks) yield* recover(c, l, null);
    }
    return null;
  }
  function* txn(c, w, pre, keep, empty = []) {
    const tid = c.ts(Math.max(0, ...Object.values(pre).map((p) => p.ver))); const body = { w, pre, empty }; bodies.set(tid, body); st.ops++; const born = now; T(`c${c.id} TXN ${tid} ${fmt(body)}`);
    const settles = c.known.splice(0, 8); const epoch = c.epoch; let why = '', dec = null;
    let got = [null, null, null, null]; const unheard = new Set(); let full = false;
    for (let i = 0; i < 5; i++) {
      if (now - born > 4 * TMO && i) break;
      const o = yield* rpc(c, ALL.filter((s) => !got[s]), { op: 'commit', tid, body, epoch, settles, first: i === 0 }, null);
      o.forEach((r, s) => { if (r && r.yes) got[s] = r; if (!got[s]) { if (r) { if (!r.blank && !(F.heard && ['fence', 'epoch'].includes(r.no))) unheard.delete(s); } else unheard.add(s); } });
      const d = good(o).find((r) => r.dec); if (d) { dec = d.dec; break; }
      if (got.filter(Boolean).length >= 3) { noteC(tid, 'fast'); ackedT.set(tid, { at: now, born }); st.acked++; T(`c${c.id} ACK ${tid}`);
        if (opt.onAck) opt.onAck();
        if (chance(0.3)) c.known.push({ tid, body }); if (!chance(0.15) || quiet) { if (chance(0.5)) yield sleep(ri(200)); const have = yield* tellAll(c, tid, 'C', body); } return 'ok'; }
      const bads = o.map((r, s) => ({ r, s })).filter((x) => x.r && x.r.no); why = bads.map((x) => x.r.no).join();
      if (bads.filter((x) => x.r.no === 'ahead').length > 1) break;
      if (bads.some((x) => ['conflict', 'epoch', 'fence', 'promised'].includes(x.r.no)) && !(keep && i < 4 && !bads.some((x) => ['epoch', 'fence', 'promised'].includes(x.r.no)) && bads.filter((x) => x.r.no === 'conflict').length < 2)) break;
      if (bads.every((x) => x.r.no === 'ahead') && i > 1) break;
      for (const x of bads) { if (x.r.no === 'locked') { if (!quiet) yield sleep(ri(TMO)); yield* recover(c, x.r.by, null); }
        if (x.r.no === 'notEmpty') { const e = yield* read(c, x.r.key); if (!e || e.val !== null) { full = true; break; } }
        if (x.r.no === 'stale' || x.r.no === 'notEmpty') { const g = good(yield* rpc(c, ALL, { op: 'read', key: x.r.key })); if (g.length >= 2) { const best = g.reduce((a, r) => r.ver > a.ver ? r : a); yield* rpc(c, [x.s], { op: 'install', key: x.r.key, ver: best.ver, val: best.val }); } } }
      if (full) break;
    }
    if (!dec && F.ballot && !got.some(Boolean) && !unheard.size) { st.failed++; failedT.add(tid); return 'no:' + why; }
    let v = dec; if (!v) { if (F.ballot) v = yield* recover(c, tid, body); else { T(`c${c.id} abort ${tid}`); yield* tellAll(c, tid, 'A', body); v = 'A'; } }
    // forgotten, and so decided: a commit needs two servers that voted yes, also where a ballot decides
    if (v === 'F' && got.filter(Boolean).length + unheard.size <= (F.few ? 1 : 2)) { st.few++; v = 'A'; }
    if (v === 'A') { st.failed++; if (F.ballot) failedT.add(tid); return 'no:' + why; } if (v === 'C') { noteC(tid, 'own recovery'); ackedT.set(tid, { at: now, born }); st.acked++; return 'ok'; }
    st.unknown++; return 'unknown';
  }
  const KEYS = [...Array(NK)].map((_, i) => 'k' + i); let vseq = 0;
  function* op(c, keep) {
    const kind = rnd(), k = KEYS[ri(NK)]; const r = yield* read(c, k); if (!r) return 'noread'; reads.push(r); T(`c${c.id} READ ${k} = ${r.ver} ${r.val}`);
    if (kind < 0.3 && !keep) return 'read';
    if (opt.think !== 0 && !keep && chance(0.1)) yield sleep(ri(400));
    const preOf = (r) => r.val === null ? { abs: 1, ver: r.ver } : { ver: r.ver };
    if (opt.dir) { const f = yield* read(c, 'k0'), e = yield* read(c, 'k1'); if (!f || !e) return 'noread'; reads.push(f, e); const x = rnd();
      if (f.val === null) return yield* txn(c, { k0: 'd' + ++vseq }, { k0: preOf(f) }, keep);
      if (opt.empty && e.val !== null && x > 0.6 && x < 0.7) return yield* txn(c, { k0: null, k1: null }, { k0: preOf(f), k1: preOf(e) }, keep, ['k1']); // empties it and removes it
      if (e.val === null || (opt.empty && !keep && x > 0.9)) return x < 0.5 ? yield* txn(c, { k1: 'e' + ++vseq }, { k0: preOf(f), k1: preOf(e) }, keep) : yield* (opt.empty ? txn(c, { k0: null }, { k0: preOf(f) }, keep, ['k1']) : txn(c, { k0: null }, { k0: preOf(f), k1: preOf(e) }, keep));
      return x < 0.8 ? yield* txn(c, { k1: null }, { k1: preOf(e) }, keep) : yield* txn(c, { k0: 'd' + ++vseq }, { k0: preOf(f) }, keep); }
    if (kind < 0.45 && r.val !== null) return yield* txn(c, { [k]: null }, { [k]: preOf(r) }, keep);
    if (kind < 0.65 && r.val !== null) { let k2 = KEYS[ri(NK)]; if (k2 !== k) { const r2 = yield* read(c, k2); if (!r2) return 'noread'; reads.push(r2); return yield* txn(c, { [k]: null, [k2]: r.val }, { [k]: preOf(r), [k2]: preOf(r2) }, keep); } }
    return yield* txn(c, { [k]: 'v' + ++vseq }, { [k]: preOf(r) }, keep);
  }
  // ---------------- repair, fill, sweep
  function* survey(c, regs) { return yield* rpc(c, ALL, { op: 'survey', regs }); }
  // what a surveyed server lacks is installed there: values above its floor; true when all took it
  function* installAll(c, o) {
    if (!F.installfirst) return true; let ok = true; const best = new Map();
    for (const r of good(o)) for (const [k, x] of r.regs) if (!best.has(k) || best.get(k).ver < x.ver) best.set(k, x);
    for (const s of ALL) if (o[s] && !o[s].blank) { const m = new Map(o[s].regs); for (const [k, x] of best) if (x.ver > o[s].floor && (!m.has(k) || m.get(k).ver < x.ver)) { const a = yield* rpc(c, [s], { op: 'install', key: k, ver: x.ver, val: x.val }); if (!a[s] || !a[s].ok) ok = false; } }
    return ok;
  }
  function* repair(c, force) {
    const o = yield* survey(c, true); const g = good(o); if (g.length < 3) return false;
    if (opt.clocks && g.length === 4) { const [first, , third] = [...o].sort((a, b) => b.fence - a.fence); if (ms(first.fence) > c.time() + AHEAD && ms(third.fence) <= c.time() + AHEAD) yield* rpc(c, [o.indexOf(first)], { op: 'fence', f: c.time() * 16, agreed: 1 }); }
    const u = new Map(); let clean = true;
    for (const r of g) for (const x of r.recs) { const y = u.get(x.tid); if (!y || (!y.dec && x.dec)) u.set(x.tid, { ...x, body: x.body || (y && y.body) }); else if (!y.body) y.body = x.body; }
    for (const x of u.values()) {
      const dec = x.dec; if (!dec) { if (!force && now - x.at < 3 * TMO) { clean = false; continue; } const v = yield* recover(c, x.tid, x.body); if (v === 'U') clean = false; continue; }
      if (F.nobody) continue;
      const lack = ALL.filter((s) => o[s] && !o[s].blank && !o[s].recs.find((y) => y.tid === x.tid && y.dec === dec) && o[s].floor < x.tid); if (lack.length) { const a = yield* rpc(c, lack, { op: 'decide', tid: x.tid, v: dec, body: x.body }); if (!F.floor && lack.every((s) => a[s] && a[s].ok)) yield* tellAll(c, x.tid, dec, x.body); }
    }
    if (F.nobody) { if (!(yield* installAll(c, o))) clean = false; for (const x of u.values()) if (x.dec) { const lack = ALL.filter((s) => o[s] && !o[s].blank && !o[s].recs.find((y) => y.tid === x.tid && y.dec) && o[s].floor < x.tid); if (lack.length) yield* rpc(c, lack, { op: 'decide', tid: x.tid, v: x.dec, installed: 1 }); } }
    if (!F.floor && !F.nobody) for (const k of KEYS) { const rs = g.map((r) => new Map(r.regs).get(k)).filter(Boolean); if (!rs.length) continue; const best = rs.reduce((a, b) => b.ver > a.ver ? b : a); for (const s of ALL) if (o[s] && !o[s].blank) { const m = new Map(o[s].regs).get(k); if (!m || m.ver < best.ver) { if (best.val !== null || m) yield* rpc(c, [s], { op: 'install', key: k, ver: best.ver, val: best.val }); } } }
    return clean && g.length === 4;
  }
  function* restore(c) {
    for (const s of ALL) { const o = yield* rpc(c, [s], { op: 'rotten' }); if (!o[s] || o[s].blank) continue;
      for (const key of o[s].keys) {
        const g = good(yield* rpc(c, ALL.filter((x) => x !== s), { op: 'read', key })); if (g.length < (F.rotquorum ? 2 : 1)) continue;
        const best = g.reduce((a, r) => r.ver > a.ver ? r : a); const locks = g.map((r) => r.lock).filter((l) => l > best.ver);
        if (F.rotlock && locks.length) { for (const l of locks) yield* recover(c, l, null); continue; }
        yield* rpc(c, [s], { op: 'restore', key, ver: best.ver, val: best.val, mark: o[s].mark }); } }
  }
  function* fill(c, b) {
    st.fill++; const others = ALL.filter((s) => s !== b); const need = F.fill3 ? 3 : 2; const sess = (Math.floor(c.epoch / 16) + 1) * 16 + c.id;
    let o = yield* rpc(c, [b], { op: 'fillstart', epoch: sess }); if (!o[b] || !o[b].ok) { if (o[b] && o[b].sess) c.epoch = Math.max(c.epoch, o[b].sess); return; }
    if (F.epoch) { o = yield* rpc(c, others, { op: 'epoch', epoch: sess }); if (good(o).filter((r) => r.ok).length < need) return; }
    o = yield* rpc(c, others, { op: 'survey' }); if (good(o).length < need) return;
    const u = new Map(); for (const r of good(o)) for (const x of r.recs) { const y = u.get(x.tid); if (!y || (!y.dec && x.dec)) u.set(x.tid, x); }
    const deps = others.filter((s) => o[s] && !o[s].blank);
    if (F.epoch) for (const x of u.values()) if (!x.dec) { const v = yield* recover(c, x.tid, x.body); if (v === 'U') return; }
    // every donor must have each surveyed transaction decided before the copy is taken from it
    o = yield* rpc(c, others, { op: 'survey', regs: true }); if (good(o).length < need) return;
    const m = new Map(), recs = new Map(); let floor = 0, fence = 0;
    // a fence counts once two have it: one may be of a server whose clock is off
    fence = good(o).map((r) => r.fence).sort((a, b) => b - a)[1];
    for (const r of good(o)) { floor = Math.max(floor, r.floor); for (const [k, x] of r.regs) if (!m.has(k) || m.get(k).ver < x.ver) m.set(k, x); for (const x of r.recs) if (x.dec) recs.set(x.tid, x); }
    if (F.epoch) for (const t of u.keys()) if (!recs.has(t) && t > floor) return;
    for (const e of m) { o = yield* rpc(c, [b], { op: 'fill', epoch: sess, regs: [e] }); if (!o[b] || !o[b].ok) return; }
    for (let i = 0; i < 3; i++) { o = yield* rpc(c, [b], { op: 'fill', epoch: sess, regs: [], recs: [...recs.values()], floor: F.floor ? floor : 0, fence: F.floor ? fence : 0, fin: 1 }); if (o[b]) return; }
  }
  function* sweep(c, force) { // fence on all four, settle everything below on all four, then floor
    if (!F.floor) return; st.sweep++; let o = yield* survey(c); if (good(o).length < 4) return; const inc = o.map((r) => r.inc);
    const f = (Math.max(0, (opt.clocks ? c.time() : now) - (force ? -50 : opt.age ?? 5 * TMO)) * 16); if (F.twophase) { o = yield* rpc(c, ALL, { op: 'fence', f }); const behind = ALL.filter((s) => o[s] && o[s].no === 'ahead'); if (behind.length === 1 && good(o).length === 4) o[behind[0]] = (yield* rpc(c, behind, { op: 'fence', f, agreed: 1 }))[behind[0]]; if (good(o).length < 4 || o.some((r) => r.no) || o.some((r, s) => r.inc !== inc[s])) return; }
    for (let i = 0; i < 3; i++) {
      o = yield* survey(c, F.nobody); if (good(o).length < 4 || o.some((r, s) => r.inc !== inc[s])) return; if (F.nobody && !(yield* installAll(c, o))) return; const need = new Map(); for (const r of o) for (const x of r.recs) if (x.tid <= f) { const y = need.get(x.tid) || { n: 0 }; if (x.dec) { y.n++; y.dec = x.dec; y.body = x.body; } else y.body = y.body || x.body; need.set(x.tid, y); }
      const open = [...need].filter(([t, y]) => !(y.dec && o.every((r) => r.floor >= t || r.recs.find((x) => x.tid === t && x.dec))));
      if (!open.length) { yield* rpc(c, ALL, (s) => ({ op: 'floor', f, inc: inc[s] })); return; }
      for (const [t, y] of open) y.dec ? (F.nobody ? yield* rpc(c, ALL, { op: 'decide', tid: t, v: y.dec, installed: 1 }) : yield* tellAll(c, t, y.dec, y.body)) : yield* recover(c, t, y.body);
    }
  }
  // ---------------- run
  const clients = [...Array(NC + NR + 1)].map((_, i) => new Client(i));
  function clientLoop(c) { spawn(c, (function* () { yield sleep(ri(200)); for (;;) { yield* op(c); yield sleep(ri(opt.gap || 120)); if (now > END) return; if (chance(0.12)) { const b = S.findIndex((s) => s.blank); if (b >= 0) yield* fill(c, b); else if (chance(0.6)) yield* repair(c); else yield* sweep(c); } } })()); }
  function repLoop(c) { spawn(c, (function* () { for (;;) { yield sleep(ri(opt.repGap || 500)); if (now > END) return; const b = S.findIndex((s) => s.blank); if (b >= 0 && chance(0.8)) yield* fill(c, b); else if (chance(0.5)) { if (opt.rot) yield* restore(c); yield* repair(c); } else yield* sweep(c); } })()); }
  for (let i = 0; i < NC; i++) clientLoop(clients[i]); for (let i = NC; i < NC + NR; i++) repLoop(clients[i]);
  let downUntil = [0, 0, 0, 0];
  function fault() { if (now > END) return; const x = rnd(), s = ri(4), c = clients[ri(NC + NR)];
    if (x < 0.25) { if (S[s].up && S.filter((v) => !v.up).length < 2) { st.crash++; S[s].up = false; T(`DOWN s${s}`); at(now + 20 + ri(800), () => { S[s].up = true; T(`UP s${s}`); }); } }
    else if (x < 0.35) { if (opt.rot !== 2 && !S.some((v) => v.blank) && S[s].up) { st.wipe++; S[s].wipe(); T(`WIPE s${s}`); } }
    else if (x < 0.45) { st.pause++; S[s].pausedTo = now + ri(300); T(`PAUSE s${s}`); }
    else if (x < 0.65) { st.cut++; cut[c.id][s] = now + ri(600); T(`CUT c${c.id} s${s}`); }
    else if (x < 0.8) { st.ccrash++; c.gen++; c.known = []; T(`CRASH c${c.id}`); (c.id < NC ? clientLoop : repLoop)(c); }
    else if (x < 0.95) { st.pause++; c.pausedTo = now + ri(chance(0.3) ? 2500 : 300); T(`PAUSE c${c.id}`); }
    at(now + ri(opt.faultGap || 150), fault); }
  // at most one copy of a register rots at a time, and none while a server is blank; rot=2: no disk is lost, so that more can rot
  function decay() { if (now > END) return; const k = 'k' + ri(NK), t = S[ri(4)]; if (!S.some((v) => v.blank || v.rot.has(k)) && t.regs.has(k)) { st.rot++; t.rot.add(k); T(`ROT ${k} s${t.id}`); } at(now + ri(200), decay); }
  at(50, fault); if (opt.rot) at(50, decay);
  let steps = 0; const runTo = (t) => { while (q.length && q[0].t <= t) { const e = pop(); now = e.t; e.f(); if (++steps > 400000) { bad('no progress'); return; } } now = Math.max(now, t); };
  runTo(END + 4000);
  quiet = true; for (const s of S) { s.off = 0; s.up = true; s.pausedTo = 0; } for (const c of clients) c.pausedTo = 0;
  const rc = clients[NC + NR]; const doit = (g, t = 6000) => { let res, fin = false; spawn(rc, g, (v) => { res = v; fin = true; }); const lim = now + t; while (!fin && q.length && now < lim) { const e = pop(); now = e.t; e.f(); } if (!fin) { rc.gen++; return 'stuck'; } return res; };
  runTo(now + 4000);
  const settleAll = () => { for (let i = 0; i < 6; i++) { const b = S.findIndex((s) => s.blank); if (b >= 0) doit(fill(rc, b)); if (opt.rot) doit(restore(rc)); doit(repair(rc, true), 60000); } };
  settleAll(); if (S.some((s) => s.blank)) bad('fill never finished');
  check('end');
  // liveness
  const mustOk = (name) => { let ok = 0, last; for (let i = 0; i < 6; i++) { last = doit(op(rc, true)); if (last === 'ok') ok++; } if (ok < 6) bad(`liveness ${name}: ${ok}/6 (${last})`); };
  if (!viol.length) { const d = ri(4), e = (d + 1 + ri(3)) % 4;
    S[d].up = false; mustOk('one down'); S[d].up = true; S[e].up = false; mustOk('one down, one stale'); S[e].up = true; settleAll();
    S[d].wipe(); mustOk('one blank'); settleAll(); doit(sweep(rc, true), 60000); mustOk('after sweep'); settleAll();
    if (opt.clocks) { runTo(now + 3 * AHEAD); S[d].off = -BIG; const t = now; for (let i = 0; i < 3; i++) { doit(repair(rc, true), 60000); doit(sweep(rc, true), 60000); } if (S.some((s) => s.floor < t * 16)) bad('liveness: no sweep while one clock is behind'); S[d].off = 0; settleAll(); } check('final'); }
  function check(when) {
    // replicas equal
    for (const k of KEYS) { const vs = S.map((s) => s.reg(k)); const vis = (r) => r.val === null ? 'none' : r.ver + ':' + r.val; if (new Set(vs.map(vis)).size > 1) bad(`${when}: replicas differ ${k} ${vs.map(vis)}`); }
    for (const s of S) for (const k of s.rot) bad(`${when}: ${k} is still rotten on ${s.id}`);
    for (const s of S) for (const [k, l] of s.locks) bad(`${when}: lock left ${k} ${l} on ${s.id}`);
    if (opt.dir) { let f = null, ch = [...chosenC.keys()]; const last = (k) => ch.filter((t) => k in bodies.get(t).w).sort((a, b) => b - a).map((t) => bodies.get(t).w[k])[0] ?? null; if (last('k0') === null && last('k1') !== null) bad(`${when}: orphan entry`); }
    { const ts = [...chosenC.keys()]; const hit = (a, b, x, y) => Object.keys(a.w).some((k) => b.pre[k] && !(k in b.w) && b.pre[k].ver === a.pre[k].ver && !(b.pre[k].abs && ts.some((t) => t > Math.min(x, y) && t < Math.max(x, y) && bodies.get(t).w[k] === null))); for (let i = 0; i < ts.length; i++) for (let j = 0; j < i; j++) { const a = bodies.get(ts[i]), b = bodies.get(ts[j]); if (hit(a, b, ts[i], ts[j]) && hit(b, a, ts[i], ts[j])) bad(`${when}: write skew ${ts[j]} ${ts[i]}`); } }
    // chain per key
    for (const k of KEYS) {
      const ch = [...chosenC.keys()].filter((t) => k in bodies.get(t).w).sort((a, b) => a - b); let prev = { ver: 0, val: null };
      for (const t of ch) { const p = bodies.get(t).pre[k]; if (p.abs ? prev.val !== null : p.ver !== prev.ver) bad(`${when}: chain ${k}: ${t} wants ${JSON.stringify(p)} but follows ${prev.ver}:${prev.val}`); prev = { ver: t, val: bodies.get(t).w[k] }; }
      for (const s of S) { const r = s.reg(k); if (prev.val === null ? r.val !== null : r.ver !== prev.ver) { bad(`${when}: ${k} on s${s.id} is ${r.ver}:${r.val}, last committed ${prev.ver}:${prev.val}`); break; } }
      const tomb = ch.filter((t) => bodies.get(t).w[k] === null);
      let rs = reads.filter((r) => r.key === k); const eff = (r) => r.ver || tomb.filter((t) => chosenC.get(t) <= r.end).pop() || 0;
      const ev = [];
      for (const t of ch) if (ackedT.has(t)) ev.push([ackedT.get(t).at, t]); for (const r of rs) ev.push([r.end, eff(r), 1]);
      for (const r of rs) { if (r.ver && !chosenC.has(r.ver)) bad(`${when}: dirty read ${k} ${r.ver}`); for (const e of ev) if (e[0] < r.start && e[1] > eff(r)) { bad(`${when}: stale read ${k}=${r.ver} started ${r.start} after ${e[1]} ${e[2] ? 'read' : 'acked'} at ${e[0]}`); break; } }
    }
    // what is of the future stands just above something that was
    if (opt.clocks) for (const [t, at] of chosenC) if (at && ms(t) > at + AHEAD + BIG * 0.6 && !Object.values(bodies.get(t).pre).some((p) => p.ver > (at + AHEAD) * 16 && ms(t) - ms(p.ver) <= AHEAD) && !(ms(t) - 2 * BIG <= AHEAD && ms(t) >= 2 * BIG)) bad(`${when}: poisoned by ${t}`);
    for (const t of ackedT.keys()) if (!chosenC.has(t)) bad(`acked not chosen ${t}`);
    for (const t of failedT) if (chosenC.has(t)) bad(`failed but committed ${t}`);
  }
  return { viol, st, log, steps };
}
module.exports = { runSeed, FLAGS };
if (require.main === module) {
  const a = process.argv.slice(2); const F = { ...FLAGS }, opt = {}; const nums = [];
  for (const x of a) { if (/^\d+$/.test(x)) nums.push(+x); else if (x === 'written') for (const k in F) F[k] = 0; else if (x[0] === '-') F[x.slice(1)] = 0; else if (x[0] === '+') F[x.slice(1)] = 1; else if (x.includes('=')) { const [k, v] = x.split('='); opt[k] = +v; } }
  const s0 = nums[0] ?? 1, n = nums[1] ?? 100; const tot = {}; let nb = 0, first = []; const kinds = {}; const t0 = Date.now(); let seeds = 0; opt.trace = opt.v;
  for (let s = s0; s < s0 + n; s++) { let r; try { r = runSeed(s, F, opt); } catch (e) { console.log('seed', s, e.stack); process.exit(1); } seeds++; for (const k in r.st) tot[k] = (tot[k] || 0) + r.st[k];
    if (r.viol.length) { nb++; const kd = r.viol[0].replace(/\d+/g, '#').slice(0, 40); kinds[kd] = (kinds[kd] || 0) + 1; if (first.length < 6) first.push(`seed ${s} steps ${r.steps}: ` + r.viol.slice(0, 2).join(' | ')); } if (opt.v) console.log(r.log.join('\n'), r.viol); if (opt.secs && Date.now() - t0 > opt.secs * 1000) break; }
  console.log(JSON.stringify({ off: Object.keys(F).filter((k) => !F[k]).join(), seeds, bad: nb, secs: (Date.now() - t0) / 1000, kinds, tot }, null, 0)); for (const f of first) console.log('  ' + f);
}
