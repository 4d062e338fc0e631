// What the pages do while they are open: follow what happens, and a few comforts. Without this
// script everything still works, by reloading and by plain links and forms. merge.js, output.js,
// comforts.js and away.js are loaded before it and share its names.
"use strict";

// --- Times, in the words of words.py ----------------------------------------------------------

function duration(seconds) {
  if (seconds < 0.095) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(whole / unit));
  if (!minutes) return `${whole} s`;
  if (!hours) return `${minutes} min ${whole % 60} s`;
  if (!days) return `${hours} h ${minutes % 60} min`;
  return `${days} day${days > 1 ? "s" : ""}`;
}

function ago(at) {
  const seconds = (Date.now() - at) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  const sameYear = at.getFullYear() === new Date().getFullYear();
  return at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: sameYear ? undefined : "numeric" });
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} byte${bytes === 1 ? "" : "s"}`;
  return bytes / 1024 < 1023.5 ? `${(bytes / 1024).toFixed(0)} KB` : `${(bytes / 1048576).toFixed(1)} MB`;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  for (const time of all("time")) {
    const at = new Date(time.dateTime);
    const whole = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    if ("ago" in time.dataset) {
      say(time, ago(at));
      if (time.title !== whole) time.title = whole;
    } else if ("clock" in time.dataset && at.toDateString() === new Date().toDateString()) {
      say(time, at.toLocaleTimeString(undefined, { timeStyle: "short" }));
    } else say(time, whole);
  }
  for (const running of all("[data-since]")) {
    say(running, duration(Math.max(0, Math.floor((Date.now() - new Date(running.dataset.since)) / 1000))));
  }
}

// --- News -------------------------------------------------------------------------------------

let refreshes = 0;

async function refresh() {
  const mine = ++refreshes;
  const answer = await ask(location.href);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  // Somebody typed on, and a later question is on its way.
  if (mine !== refreshes) return;
  const focused = document.activeElement?.closest("[data-key]")?.dataset.key;
  const fresh = find("#main", page);
  merge(main, fresh);
  for (const part of [".dot", "footer p"]) merge(find(part, document), find(part, page));
  document.title = page.title;
  if (focused && document.activeElement === document.body) {
    // It moved to another part of the page, as a task does that has ended.
    find(`[data-key="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
  }
  prepare();
}

// --- Polling ----------------------------------------------------------------------------------

const WAITS_MS = [2000, 4000, 8000, 15000];
let timer = 0;
let asking = false;

async function ask(url, method = "GET", patience = 10000) {
  const answer = await fetch(url, { method, signal: AbortSignal.timeout(patience), cache: "no-store" });
  // Forgotten meanwhile: the page leads to the sign-in.
  if (answer.status === 403) location.reload();
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer;
}

function schedule(wait) {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(poll, wait);
}

async function poll() {
  if (asking || document.hidden || !(main.dataset.live || failures)) return;
  asking = true;
  let wait;
  try {
    wait = await POLLS[main.dataset.page ?? "other"]();
    heard();
  } catch {
    wait = WAITS_MS[Math.min(failures, WAITS_MS.length - 1)];
    lost();
    // One lost answer is no news: the page may just be waking up.
    if (failures > 1) sayAway(`${away()} – trying again`);
  }
  asking = false;
  if (wait !== null) schedule(wait);
}


async function pollTasks() {
  const url = new URL(main.dataset.live, location);
  url.searchParams.set("version", main.dataset.version);
  const { version } = await (await ask(url)).json();
  if (version !== undefined) await refresh();
  return Number(main.dataset.busy) ? 1000 : 3000;
}

let lastOutput = 0;

async function pollTask() {
  const box = find(".box");
  // A task that waits for an OK has no output yet.
  const { from, seen, sgr } = box ? box.dataset : { from: 0, seen: 0, sgr: "" };
  const { live, rev, attempt } = main.dataset;
  const news = await (await ask(`${live}?${new URLSearchParams({ from, seen, sgr, rev, attempt })}`)).json();
  if (box && news.html !== undefined) show(box, news);
  if (news.rev !== undefined && String(news.rev) !== rev) {
    await refresh();
    if ("ended" in main.dataset && news.ended) announce();
  }
  if ("ended" in main.dataset && !news.more && (news.ended || news.rev === undefined)) return null;
  if (news.more) return 0;
  return Date.now() - lastOutput < 5000 ? 250 : 1000;
}

// A page that follows nothing asks only until it knows that the viewer is back.
const POLLS = { task: pollTask, tasks: pollTasks, other: () => knock().then(() => null) };

function announce() {
  const { state, lasted } = main.dataset;
  say(document.querySelector("[data-said]"), lasted ? `${state} after ${lasted}` : state);
}

// --- The page ---------------------------------------------------------------------------------

// A look counts when an ended task has been in sight for a second: a fetch for a preview is none.
let look = 0;
let looked = "";

function noteLook() {
  clearTimeout(look);
  const { page, viewed, attempt } = main.dataset;
  if (page !== "task" || !("ended" in main.dataset) || document.hidden || document.prerendering || looked === attempt) return;
  look = setTimeout(() => {
    looked = attempt;
    const through = matchMedia("(pointer: coarse)").matches ? "phone" : "laptop";
    fetch(viewed, { method: "POST", body: new URLSearchParams({ attempt, through }), keepalive: true }).catch(() => {});
  }, 1000);
}

// A second tap, or one that was on its way when the page changed, was meant for what stood there before:
// a yes that has just come, or has moved to the place of another, cannot be given for a moment.
const HELD_MS = 500;
let questions = "";
let heldUntil = 0;

function holdYes() {
  const open = all('[data-key^="request-"], [data-key^="asks-"]').map((one) => one.dataset.key).join();
  if (open !== questions) {
    questions = open;
    heldUntil = performance.now() + HELD_MS;
    setTimeout(holdYes, HELD_MS);
  }
  const held = performance.now() < heldUntil;
  for (const yes of all('.answers .main, [data-key^="asks-thumb-"] .main')) yes.disabled = held;
}

function prepare() {
  holdYes();
  if (main.dataset.page === "task" && taste() === "off") main.classList.add("no-wrap");
  for (const button of all('[data-do="copy-id"]')) button.hidden = false;
  for (const button of all('[data-do="copy-answer"]')) button.hidden = false;
  prepareOutput();
  noteLook();
  // Only the list knows how many there are.
  if ("asking" in main.dataset) navigator.setAppBadge?.(Number(main.dataset.asking)).catch(() => {});
  tick();
}

// A browser may give up drawing one page over into the next, as when it was sent to the background meanwhile.
// Nothing waits for that, so it is no fault.
addEventListener("unhandledrejection", (event) => {
  if (/^Transition was (aborted|skipped)/.test(event.reason?.message)) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const action = event.target.closest("[data-do]")?.dataset.do;
  if (action) DO[action](event.target.closest("[data-do]"));
  const opener = event.target.closest("[data-opens]");
  if (opener && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    document.getElementById(opener.dataset.opens).showModal();
  }
  // A tap beside the dialog closes it.
  if (event.target.nodeName === "DIALOG") event.target.close();
});
document.addEventListener("visibilitychange", () => { schedule(0); noteLook(); });
for (const change of ["online", "offline"]) addEventListener(change, () => schedule(0));
addEventListener("pageshow", (event) => { if (event.persisted) schedule(0); });

prepare();
for (const chip of all('.chips [aria-current="true"]')) chip.scrollIntoView({ inline: "center", block: "nearest" });
setInterval(() => document.hidden || tick(), 1000);
schedule("ended" in main.dataset ? 1000 : 250);
