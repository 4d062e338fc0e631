// The output of a task: what arrives is appended, and what somebody reads stays where it is.
"use strict";

const main = document.getElementById("main");
const find = (selector, from = main) => from.querySelector(selector);
const all = (selector, from = main) => [...from.querySelectorAll(selector)];
const MAX_LINES = 5000;
const BLOCK_LINES = 200;

const isAtEnd = (log) => log.scrollTop > -24;

function show(box, news) {
  const log = find(".log", box);
  const unfinished = find(".unfinished", log);
  const follows = isAtEnd(log);
  const fromTop = log.scrollHeight + log.scrollTop;
  if (news.jumped) for (const block of all(".block", log)) block.remove();
  if (news.html) append(unfinished, news.html);
  if (unfinished.innerHTML !== news.unfinished) unfinished.innerHTML = news.unfinished;
  if (news.html || news.unfinished) lastOutput = Date.now();
  for (const name of ["from", "seen", "sgr", "size"]) box.dataset[name] = news[name];
  const dropped = dropOldest(log);
  if (news.jumped || dropped) box.dataset.cut = "";
  noteCut(box, log);
  if (!follows) log.scrollTop = fromTop - log.scrollHeight;
  prepareOutput();
}

function append(unfinished, html) {
  let block = unfinished.previousElementSibling;
  let room = block ? BLOCK_LINES - lines(block) : 0;
  const pieces = html.match(/[^\n]*\n|[^\n]+/g);
  while (pieces.length) {
    // A line that goes on stays in its block.
    if (room <= 0 && (!block || block.textContent.endsWith("\n"))) {
      block = document.createElement("span");
      block.className = "block live";
      unfinished.before(block);
      room = BLOCK_LINES;
    }
    const taken = pieces.splice(0, Math.max(1, room));
    // The server has escaped it: text and spans with classes are all that can be in it, and no
    // span goes over the end of a line.
    block.insertAdjacentHTML("beforeend", taken.join(""));
    room -= taken.length;
  }
}

const lines = (block) => block.textContent.split("\n").length - 1;

function dropOldest(log) {
  const blocks = all(".block", log);
  let total = blocks.reduce((sum, block) => sum + lines(block), 0);
  let dropped = false;
  while (total > MAX_LINES && blocks.length > 1) {
    const oldest = blocks.shift();
    total -= lines(oldest);
    oldest.remove();
    dropped = true;
  }
  return dropped;
}

function noteCut(box, log) {
  const note = find(".cut");
  if ("cut" in box.dataset) note.hidden = false;
  if (note.hidden) return;
  say(find("[data-size]", note), size(Number(box.dataset.size)));
  say(find("[data-shown]", note), size(new Blob([log.textContent]).size));
}

function prepareOutput() {
  const box = find(".box");
  if (!box) return;
  const log = find(".log", box);
  const isEmpty = !log.textContent;
  box.hidden = isEmpty;
  find(".nothing").hidden = !isEmpty;
  for (const name of ['[data-do="wrap"]', '[data-do="copy"]', "[data-raw]"]) find(name).hidden = isEmpty;
  find('[data-do="wrap"]').setAttribute("aria-pressed", String(!main.classList.contains("no-wrap")));
  find('[data-do="follow"]').hidden = isAtEnd(log) || "ended" in main.dataset;
  const folded = box.classList.contains("folded");
  find('[data-do="unfold"]').hidden = !folded || log.scrollHeight <= log.clientHeight + 1;
  log.onscroll = () => { find('[data-do="follow"]', box).hidden = isAtEnd(log) || "ended" in main.dataset; };
}

async function copy(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers offer no clipboard on plain HTTP from another device.
    const area = document.createElement("textarea");
    area.value = text;
    button.after(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  const before = button.dataset.label ??= button.textContent;
  button.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => { button.textContent = before; }, 2000);
}

/** Whether lines are wrapped, "on" or "off", remembered from page to page where the browser lets us. */
function taste(wrap) {
  try {
    if (wrap) localStorage.setItem("wrap", wrap);
    return localStorage.getItem("wrap");
  } catch {
    return wrap;
  }
}

const DO = {
  wrap() {
    const off = main.classList.toggle("no-wrap");
    taste(off ? "off" : "on");
    prepareOutput();
  },
  copy: (button) => copy(find(".output .log pre").textContent, button),
  "copy-answer": (button) => copy(find("[data-answer]").value, button),
  "copy-id": (button) => copy(button.previousElementSibling.textContent, button),
  follow() {
    find(".box .log").scrollTop = 0;
    prepareOutput();
  },
  unfold() {
    find(".box").classList.remove("folded");
    prepareOutput();
  },
  close: (button) => button.closest("dialog").close(),
  keys: () => document.getElementById("keys").showModal(),
};
