"use strict";
/* The page: what the stream tells is kept in `bot`, and drawn. Text only ever becomes text nodes. */

const $ = (id) => document.getElementById(id);
const SOURCES = ["funding", "basis", "fees", "slippage", "borrow", "liquidation"];
const YEAR = 8760;
const POINTS_MAX = 2000;
const bot = { snapshot: {}, pairs: new Map(), points: [], limits: [], orders: [], happened: [], scope: null };
let token = "";
let heard = 0; // when the bot was last heard, by this machine's clock
let ended = "";

/* --- words and figures ------------------------------------------------------------------ */

const number = (least, most, signed) => new Intl.NumberFormat("en-US", {
  minimumFractionDigits: least, maximumFractionDigits: most, signDisplay: signed ? "exceptZero" : "negative",
});
const MONEY = number(2, 2), GAIN = number(2, 2, true), PERCENT1 = number(1, 1), APR = number(1, 1, true), TIMES = number(2, 2);
const WHOLE = number(0, 0);
const SIX = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 6 });
const NONE = "–";
const money = (v) => MONEY.format(v);
const gain = (v) => GAIN.format(v);
const tone = (v) => (v > 0.004 ? "good" : v < -0.004 ? "bad" : "");
const apr = (hourly) => (hourly == null ? NONE : APR.format(hourly * YEAR * 100) + "%");
const percent = (v) => (v == null ? NONE : PERCENT1.format(v * 100) + "%");
const quantity = (v) => SIX.format(v);
const total = (pnl) => SOURCES.reduce((sum, name) => sum + Number(pnl[name]), 0);
const date = (ns) => new Date(ns / 1e6).toISOString();
const when = (ns) => date(ns).slice(5, 19).replace("T", " ");

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
function say(element, text) { if (element.textContent !== text) element.textContent = text; }
function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/* --- the mode, the state ---------------------------------------------------------------- */

const MODES = { paper: "PAPER", testnet: "TESTNET", live: "LIVE", backtest: "BACKTEST" };
const STAKES = { live: "REAL MONEY", paper: "no real money", testnet: "no real money", backtest: "no real money" };

function drawMode() {
  const { mode, synthetic } = bot.snapshot;
  if (!mode) return;
  const words = `${MODES[mode] || mode.toUpperCase()} · ${STAKES[mode] || ""}`;
  mark(document.body, "data-mode", mode);
  mark(document.body, "data-synthetic", String(synthetic));
  for (const band of document.querySelectorAll(".band")) {
    const wanted = synthetic ? [words, "SYNTHETIC MARKET"] : [words];
    if (band.dataset.says === wanted.join()) continue;
    band.dataset.says = wanted.join();
    band.replaceChildren(...wanted.map((text, at) => make("span", at ? { class: "made-up" } : {}, text)));
  }
}

function drawHeader() {
  const s = bot.snapshot;
  say($("state"), s.state);
  mark($("state"), "data-is", s.state);
  const feed = s.feed === s.venue ? s.venue : `${s.venue}, ${s.feed}`;
  say($("where"), `${feed} · ${date(s.time_ns).slice(0, 16).replace("T", " ")} UTC`);
  const may = bot.scope === "control";
  for (const id of ["pause", "resume", "flatten", "kill"]) {
    $(id).disabled = !may;
    $(id).title = may ? "" : "This link only reads";
  }
  say($("scope"), may ? "" : "this link only reads");
  $("pause").hidden = bot.paused;
  $("resume").hidden = !bot.paused;
  const title = `${MODES[s.mode] || s.mode} ${s.state === "running" ? "" : s.state + " "}${money(s.equity)} · fundarb`;
  if (document.title !== title) document.title = title;
}

function drawLink() {
  const age = (performance.now() - heard) / 1000;
  const lost = document.body.dataset.view === "page" && (ended !== "" || age > 8);
  mark(document.body, "data-lost", String(lost));
  mark($("link"), "data-is", lost ? "lost" : "live");
  if (lost) { say($("state"), "not known"); mark($("state"), "data-is", ""); }
  if (document.body.dataset.view !== "page") say($("link"), "connecting…");
  else say($("link"), lost ? "no connection" : "live");
  const said = ended && ended[0].toUpperCase() + ended.slice(1);
  const since = said ? "" : `for ${Math.round(age)} s: `;
  drawAlarms(lost ? [{ what: said || "No news from the bot", more: `${since}what is shown is of then; trying again` }] : []);
}

/* A screen reader tells an alarm once, when it is there, and not again for each of its figures. */
let alarmsDrawn = "";
function drawAlarms(told) {
  const s = bot.snapshot;
  for (const limit of bot.limits) {
    told.push({
      what: `Limit ${limit.limit} tripped: nothing is entered`,
      more: `${limit.detail} · since ${when(limit.tripped_ns)}${limit.latched ? "" : " · clears by itself"}`,
      reset: limit.latched ? limit.limit : "",
    });
  }
  for (const pair of bot.pairs.values()) {
    if (Number(pair.naked_notional) > 0) {
      told.push({ what: `${pair.trade_id} is not hedged`, more: `${money(pair.naked_notional)} for ${Math.round(pair.naked_seconds)} s` });
    }
  }
  if (s.mismatches) told.push({ what: `Books and venue disagree in ${s.mismatches} places`, more: "nothing is entered" });
  if (s.unknown_orders) told.push({ what: `${s.unknown_orders} orders of unknown fate`, more: "the venue is being asked", mild: true });
  if (bot.paused) told.push({ what: "Paused: no new trades", more: "what is open stays hedged and guarded", mild: true });
  const now = JSON.stringify([told.map(({ what, reset }) => [what, reset]), bot.scope]);
  if (now === alarmsDrawn) {
    told.forEach(({ more }, at) => say($("alarms").children[at].querySelector("small"), more));
    return;
  }
  alarmsDrawn = now;
  $("alarms").replaceChildren(...told.map(({ what, more, reset, mild }) => {
    const figures = make("small", { "aria-live": "off" }, more);
    const alarm = make("div", { class: mild ? "alarm mild" : "alarm" }, make("span", {}, what, figures));
    if (reset && bot.scope === "control") {
      const button = make("button", { "data-reset": reset }, "Reset…");
      button.onclick = () => confirmCommand("reset", reset);
      alarm.append(button);
    }
    return alarm;
  }));
}

/* --- figures and charts ----------------------------------------------------------------- */

const figures = new Map();
function figure(name, value, note, klass = "") {
  let parts = figures.get(name);
  if (!parts) {
    const dd = make("dd"), big = make("span"), small = make("small");
    dd.append(big, small);
    $("figures").append(make("div", {}, make("dl", { class: "figure" }, make("dt", {}, name), dd)));
    parts = { big, small };
    figures.set(name, parts);
  }
  say(parts.big, value);
  mark(parts.big, "class", klass);
  say(parts.small, note);
}

function drawFigures() {
  const s = bot.snapshot;
  const [equity, capital, peak] = [s.equity, s.capital, s.equity_peak].map(Number);
  const result = equity - capital;
  const pairs = [...bot.pairs.values()];
  const open = pairs.filter((pair) => pair.trade_id);
  const nearest = Math.min(...open.map((pair) => pair.liquidation_distance ?? Infinity));
  const naked = pairs.reduce((sum, pair) => sum + Number(pair.naked_notional), 0);
  const delta = pairs.reduce((sum, pair) => sum + Number(pair.net_delta) * (pair.mark || 0), 0);
  figure("Equity", money(equity), `${s.quote}, of ${money(capital)}`);
  figure("Profit", gain(result), `${capital ? GAIN.format((result / capital) * 100) : "0.00"}% in all`, tone(result));
  figure("From funding", gain(s.pnl.funding), "paid by the venue", tone(Number(s.pnl.funding)));
  figure("Drawdown", percent(peak > 0 ? Math.max(0, 1 - equity / peak) : 0), `from ${money(peak)}`);
  figure("Free cash", money(s.cash), `spot ${WHOLE.format(s.spot_value)}, margin ${WHOLE.format(s.margin)}`);
  figure("Net delta", gain(delta), naked > 0 ? `${money(naked)} not hedged` : "every leg hedged", naked > 0 ? "bad" : "");
  const near = nearest === Infinity;
  figure("Nearest liquidation", near ? NONE : percent(nearest), near ? "no perp is held" : "move of the price", near ? "" : nearest < 0.1 ? "bad" : nearest < 0.2 ? "warn" : "");
}

const sourceParts = new Map();
function drawSources() {
  const pnl = bot.snapshot.pnl;
  ["total", ...SOURCES].forEach((name, at) => {
    let value = sourceParts.get(name);
    if (!value) {
      value = make("b");
      sourceParts.set(name, value);
      $("sources").append(make("span", { role: "listitem" }, make("i", { class: `k${at}` }), name, value));
    }
    const amount = name === "total" ? total(pnl) : Number(pnl[name]);
    say(value, gain(amount));
    mark(value, "class", tone(amount));
  });
}

let charts = null;
let chartsAt = 0;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const PLAIN = number(0, 2);
/** UTC, 24 hours; the day where one begins. */
function clockTimes(_, ticks, _axis, _space, step) {
  return ticks.map((seconds) => {
    const iso = new Date(seconds * 1000).toISOString();
    return step >= 86400 || seconds % 86400 === 0 ? iso.slice(5, 10) : iso.slice(11, 16);
  });
}

function chartOptions(id, series) {
  const box = $(id).getBoundingClientRect();
  const [ink, line] = [css("--soft"), css("--line")];
  const font = "12px system-ui, sans-serif";
  return {
    width: Math.max(200, Math.floor(box.width)), height: Math.max(150, Math.floor(box.height) - 4), series,
    legend: { show: false }, cursor: { drag: { x: true, y: false }, points: { size: 6 } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    padding: [8, 22, 0, 0],
    axes: [
      { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 28, values: clockTimes },
      { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 66, values: (_, ticks) => ticks.map((tick) => PLAIN.format(tick)) },
    ],
  };
}

function drawCharts(force) {
  const now = performance.now();
  if (bot.points.length < 1 || (!force && charts && now - chartsAt < 1000)) return;
  chartsAt = now;
  const s = bot.snapshot;
  const live = [s.time_ns / 1e6, Number(s.equity), SOURCES.map((name) => Number(s.pnl[name]))];
  const last = bot.points[bot.points.length - 1];
  const points = live[0] > last[0] ? [...bot.points, live] : bot.points;
  const times = points.map(([ms]) => ms / 1000);
  const equity = [times, points.map((p) => p[1])];
  const parts = [times, points.map((p) => p[2].reduce((a, b) => a + b, 0)), ...SOURCES.map((_, at) => points.map((p) => p[2][at]))];
  if (!charts) {
    const dots = { show: false };
    const named = (label, stroke, width) => ({ label, stroke, width, points: dots });
    $("equity-chart").replaceChildren();
    $("sources-chart").replaceChildren();
    charts = [
      new uPlot(chartOptions("equity-chart", [{}, { ...named("equity", css("--accent"), 2), fill: css("--accent") + "22" }]), equity, $("equity-chart")),
      new uPlot(chartOptions("sources-chart", [{}, named("total", css("--ink"), 2.5), ...SOURCES.map((name, at) => named(name, css(`--c${at + 1}`), 1.5))]), parts, $("sources-chart")),
    ];
    return;
  }
  charts[0].setData(equity);
  charts[1].setData(parts);
}
function redrawCharts() {
  if (!charts) return;
  charts.forEach((chart) => chart.destroy());
  charts = null;
  drawCharts(true);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
let resized = 0;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(redrawCharts, 150); });

/* --- pairs ------------------------------------------------------------------------------ */

const LABELS = ["", "spot / perp", "notional / delta", "funding now / forecast", "basis / leverage", "to liquidation", "profit / funding", "decision"];
const rows = new Map();

function rowOf(name) {
  let row = rows.get(name);
  if (row) return row;
  const cells = LABELS.map((label) => make("span", label ? { role: "cell", "data-label": label } : { role: "cell" }));
  const title = make("button", { class: "plain" });
  title.onclick = () => openDetail(name);
  const stage = make("small");
  cells[0].append(title, stage);
  const twos = [1, 2, 3, 4, 5, 6].map((at) => {
    const [upper, lower] = [make("b"), make("small")];
    cells[at].append(upper, lower);
    return [upper, lower];
  });
  const [meter, fill] = [make("span", { class: "meter" }), make("i")];
  meter.append(fill);
  twos[4][0].after(meter);
  const [action, reason] = [make("b"), make("span")];
  cells[7].append(make("span", { class: "why" }, action, " ", reason));
  const element = make("div", { role: "row", class: "row" }, ...cells);
  row = { element, title, stage, twos, meter, fill, action, reason, cells };
  rows.set(name, row);
  return row;
}

function drawPair(pair) {
  const row = rowOf(pair.pair);
  const open = pair.trade_id !== null;
  const naked = Number(pair.naked_notional);
  const set = (at, upper, lower, upperClass = "", lowerClass = "") => {
    const [a, b] = row.twos[at];
    say(a, upper); say(b, lower); mark(a, "class", upperClass); mark(b, "class", lowerClass);
  };
  say(row.title, pair.trade_id || pair.pair);
  say(row.stage, naked > 0 ? `naked ${money(naked)}, ${Math.round(pair.naked_seconds)} s` : pair.stage || "no trade");
  mark(row.element, "class", `row${open ? "" : " idle"}${naked > 0 ? " naked" : ""}`);
  set(0, open ? quantity(pair.spot_quantity) : NONE, open ? quantity(pair.perp_quantity) : "");
  set(1, open ? money(pair.notional) : NONE, open ? quantity(pair.net_delta) : "");
  set(2, apr(pair.funding_hourly), apr(pair.forecast_hourly));
  set(3, pair.basis == null ? NONE : APR.format(pair.basis * 1e4) + " bps", pair.leverage == null ? "" : TIMES.format(pair.leverage) + "×");
  const distance = pair.liquidation_distance;
  const level = distance == null ? "" : distance < 0.1 ? "bad" : distance < 0.2 ? "warn" : "";
  set(4, percent(distance), pair.liquidation_price == null ? "" : quantity(pair.liquidation_price), level);
  row.meter.hidden = distance == null;
  if (distance != null) {
    mark(row.meter, "class", `meter ${level}`);
    row.fill.style.transform = `scaleX(${Math.min(1, distance / 0.5).toFixed(2)})`;
  }
  const result = total(pair.pnl);
  set(5, open ? gain(result) : NONE, open ? gain(pair.pnl.funding) : "", open ? tone(result) : "");
  say(row.action, pair.action ? `${pair.action}:` : "");
  say(row.reason, pair.reason || "nothing decided yet: the market is warming up");
}

let arranged = "";
function arrangePairs() {
  const words = $("filter").value.trim().toUpperCase();
  const only = $("held").checked;
  const all = [...bot.pairs.values()];
  const shown = all.filter((pair) => (!only || pair.trade_id) && pair.pair.toUpperCase().includes(words));
  shown.sort((a, b) => (b.trade_id !== null) - (a.trade_id !== null));
  const key = shown.map((pair) => pair.pair).join("\n");
  if (key === arranged) return;
  arranged = key;
  $("rows").replaceChildren(...shown.map((pair) => rowOf(pair.pair).element));
  $("no-pairs").hidden = shown.length > 0;
}
function countPairs() {
  const open = [...bot.pairs.values()].filter((pair) => pair.trade_id).length;
  say($("pairs-count"), `${open} open of ${bot.pairs.size}`);
}

/* --- lists ------------------------------------------------------------------------------ */

function listed(element, lines, empty) {
  if (!lines.length) element.replaceChildren(make("li", { class: "empty" }, empty));
  else element.replaceChildren(...lines);
}
const line = (ns, klass, ...what) => make("li", {}, make("time", {}, when(ns)), make("span", { class: klass }, ...what));

function drawHappened() {
  const lines = [...bot.happened].reverse();
  listed($("happened"), lines.map((h) => line(h.time_ns, h.level === "alarm" ? "alarmed" : h.level, h.what)), "Nothing has happened yet.");
}
function drawOrders() {
  const counts = Object.entries(bot.snapshot.orders).filter(([, count]) => count).map(([name, count]) => `${name} ${count}`);
  say($("orders-count"), counts.join(", "));
  listed($("orders"), bot.orders.map((o) => line(
    o.time_ns, o.state === "unknown" || o.state === "rejected" ? "alarmed" : "",
    `${o.trade_id} ${o.role}: ${o.side} ${quantity(o.quantity)} ${o.instrument} at ${SIX.format(o.price)}, ${o.state}` +
      (Number(o.filled) > 0 && o.state !== "filled" ? `, ${quantity(o.filled)} filled` : ""),
  )), "No order yet. Why not? The pairs' last column says it.");
}

/* --- one pair, in detail ---------------------------------------------------------------- */

async function openDetail(name) {
  const pair = bot.pairs.get(name);
  const body = $("detail-body");
  say($("detail-title"), pair.trade_id || name);
  body.replaceChildren(make("p", { class: "soft" }, "asking the bot…"));
  $("detail").showModal();
  let told, trade;
  try {
    told = await ask(`api/why/${encodeURIComponent(name)}`);
    if (pair.trade_id) trade = await ask(`api/why/${encodeURIComponent(pair.trade_id)}`);
  } catch (error) {
    body.replaceChildren(make("p", { class: "bad" }, error.message));
    return;
  }
  const parts = [];
  if (trade) {
    const plan = trade.checklist;
    parts.push(make("h3", {}, "The trade"), make("dl", { class: "plan" }, ...[
      ["thesis", plan.thesis], ["wrong if", plan.invalidation], ["objective", plan.objective],
      ["size", `${quantity(plan.quantity)} a leg, ${money(plan.notional)}`], ["at risk", money(plan.amount_at_risk)],
      ["leverage", `${plan.leverage}×, liquidation at ${quantity(plan.liquidation_price)}, the guard acts by ${quantity(plan.stop_price)}`],
      ["profit", SOURCES.filter((s) => Number(trade.pnl[s])).map((s) => `${s} ${gain(trade.pnl[s])}`).join(", ") || "nothing yet"],
      ["funding", `${trade.funding.length} payments`],
    ].flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)])));
    if (bot.scope === "control") {
      const button = make("button", { class: "danger", id: "close-pair" }, `Close ${name}…`);
      button.onclick = () => { $("detail").close(); confirmCommand("close", name); };
      parts.push(button);
    }
  }
  const decisions = [...told.decisions].reverse();
  parts.push(make("h3", {}, pair.trade_id ? "Decisions, newest first" : "Why not? Decisions, newest first"));
  const list = make("ol", { class: "log", tabindex: "0" });
  listed(list, decisions.map((d) => line(Date.parse(d.time) * 1e6, "", `${d.action}: ${d.reason}`, ...d.refusals.map((r) => make("small", {}, `refused: ${r}`)))), "None yet: the market is warming up.");
  parts.push(list);
  const refused = Object.entries(told.refused);
  if (refused.length) parts.push(make("p", { class: "soft" }, `Refused so far: ${refused.map(([gate, count]) => `${gate} ${count}×`).join(", ")}`));
  if (told.trades.length) {
    parts.push(make("h3", {}, "Trades"));
    parts.push(make("ul", {}, ...told.trades.slice(-10).map((t) => make("li", {}, `${t.trade}: ${t.stage}, ${gain(t.total)}${t.exit_reason ? `, ${t.exit_reason}` : ""}`))));
  }
  body.replaceChildren(...parts);
}

/* --- controls --------------------------------------------------------------------------- */

const WHAT = {
  resume: "New trades may be entered again. Tripped limits stay tripped.",
  close: "Both legs are closed together, at the market's price. The pair may be entered again later.",
  flatten: "Every trade is closed at once, at the market's price, and the bot pauses.",
  kill: "Every trade is closed at once, and nothing is entered again, not even after a restart, until the limit “killed” is reset.",
  reset: "The loss is accepted: it is counted from here on, and entries may begin again.",
};
let pending = null;

function confirmCommand(command, argument = "") {
  const { mode, venue, quote } = bot.snapshot;
  pending = { command, argument, confirm: `${command} ${argument || mode}` };
  const title = command === "kill" ? "Kill switch" : `${command[0].toUpperCase()}${command.slice(1)} ${argument}`.trim();
  say($("confirm-title"), title);
  say($("confirm-go"), command === "kill" ? "Throw it" : title);
  say($("confirm-what"), WHAT[command]);
  const open = [...bot.pairs.values()].filter((p) => p.trade_id && (command !== "close" || p.pair === argument));
  const stake = ["close", "flatten", "kill"].includes(command) ? open.map((p) => `${p.trade_id}: ${money(p.notional)} ${quote} a leg, ${gain(total(p.pnl))}`) : [];
  $("confirm-stake").replaceChildren(...[`${MODES[mode] || mode} on ${venue}, ${STAKES[mode]}`, ...stake].map((text) => make("li", {}, text)));
  say($("phrase"), pending.confirm);
  say($("confirm-error"), "");
  $("typed").value = "";
  $("confirm-go").disabled = true;
  $("confirm").showModal();
  $("typed").focus();
}

const squeezed = (text) => text.trim().split(/\s+/).join(" ");
$("typed").addEventListener("input", () => { $("confirm-go").disabled = squeezed($("typed").value) !== pending.confirm; });
$("confirm-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if ($("confirm-go").disabled) return;
  $("confirm-go").disabled = true;
  try {
    await command({ ...pending, confirm: $("typed").value });
    $("confirm").close();
  } catch (error) {
    say($("confirm-error"), error.message);
    $("confirm-go").disabled = false;
  }
});

async function command(told) {
  const answer = await ask("api/commands", told);
  const open = answer.open_trades.length ? `, still open: ${answer.open_trades.join(", ")}` : ", nothing is open";
  tell(`${when(answer.time_ns)} ${`${answer.command} ${answer.argument}`.trim()}: done. The bot is ${answer.state}${open}.`, true);
}
function tell(words, done) {
  mark($("said"), "role", done ? "status" : "alert");
  mark($("said"), "class", done ? "" : "alarm");
  say($("said"), words);
}

$("pause").onclick = () => command({ command: "pause" }).catch((error) => tell(`Pause: ${error.message}`, false));
for (const name of ["resume", "flatten", "kill"]) $(name).onclick = () => confirmCommand(name);
for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
$("filter").addEventListener("input", arrangePairs);
$("held").addEventListener("change", arrangePairs);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/INPUT|DIALOG/.test(document.activeElement.tagName) && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("filter").focus();
  }
});

/* --- the bot at the other end ----------------------------------------------------------- */

async function request(path, body) {
  const headers = { authorization: `Bearer ${token}` };
  if (body) headers["content-type"] = "application/json";
  const options = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store" };
  const response = await fetch(path, options).catch(() => {
    throw new Error(body ? "no answer came, so it may have been done or not: see what the bot says of itself" : "the bot cannot be reached");
  });
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({}));
    throw Object.assign(new Error(error || `it failed with status ${response.status}: the log of the bot says why`), { status: response.status });
  }
  return response;
}
const ask = async (path, body) => (await request(path, body)).json();

function merge(told) {
  heard = performance.now();
  if (told.scope) { bot.scope = told.scope; bot.points = []; bot.pairs.clear(); arranged = ""; }
  Object.assign(bot.snapshot, told.snapshot);
  for (const name of ["paused", "limits", "orders", "happened"]) if (name in told) bot[name] = told[name];
  for (const [name, pair] of Object.entries(told.pairs)) bot.pairs.set(name, pair);
  bot.points.push(...told.points);
  if (bot.points.length > POINTS_MAX) bot.points = bot.points.filter((_, at) => at % 2 === 0);
  changed.pairs = [...changed.pairs, ...Object.keys(told.pairs)];
  changed.happened ||= "happened" in told;
  changed.orders ||= "orders" in told || "orders" in told.snapshot;
  if (!changed.due) { changed.due = true; requestAnimationFrame(draw); }
}
const changed = { pairs: [], happened: false, orders: false, due: false };

function draw() {
  changed.due = false;
  mark(document.body, "data-view", "page");
  drawMode(); drawHeader(); drawFigures(); drawSources();
  for (const name of new Set(changed.pairs)) drawPair(bot.pairs.get(name));
  countPairs(); arrangePairs(); drawLink();
  if (changed.happened) drawHappened();
  if (changed.orders) drawOrders();
  Object.assign(changed, { pairs: [], happened: false, orders: false });
  drawCharts(false);
}

/** Listens until the stream ends; events are separated by an empty line. */
async function listen() {
  const response = await request("api/stream");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard = performance.now();
    const events = (kept + value).split("\n\n");
    kept = events.pop();
    for (const event of events) {
      const [, name, data] = event.match(/^event: (\w+)\ndata: (.*)$/) || [];
      if (name === "page") { ended = ""; merge(JSON.parse(data)); }
      if (name === "end") { ended = JSON.parse(data).error; return; }
    }
  }
}

function login(why) {
  mark(document.body, "data-view", "login");
  say($("login-why"), why);
  say($("link"), "");
  $("token").focus();
}
$("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keep($("token").value.trim());
  $("token").value = "";
  run();
});
function keep(given) {
  token = given;
  sessionStorage.setItem("token", given);
}

let running = false;
async function run() {
  if (running) return;
  running = true;
  for (let pause = 500; ; pause = Math.min(pause * 2, 5000)) {
    const began = performance.now();
    try {
      await listen();
    } catch (error) {
      if (error.status === 401 || error.status === 429) {
        sessionStorage.removeItem("token");
        running = false;
        login(token ? `This token is not accepted: ${error.message}.` : "The bot shows itself to who brings its token.");
        return;
      }
      ended = error.status ? error.message : ended || "The bot cannot be reached";
    }
    ended ||= "The connection was lost";
    if (performance.now() - began > 10000) pause = 500;
    drawLink();
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

// The link of `fundarb web` carries the token behind #, where no server and no log sees it.
function bring() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (!found) return false;
  keep(found[1]);
  history.replaceState(null, "", location.pathname);
  return true;
}
addEventListener("hashchange", () => { if (bring()) location.reload(); });
if (!bring()) token = sessionStorage.getItem("token") || "";
setInterval(drawLink, 1000);
run();
