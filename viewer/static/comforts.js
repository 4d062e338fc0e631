// Searching while typing, and keys. Names that it uses are in merge.js, output.js and viewer.js.
"use strict";

// --- Search: the address follows what is typed, so it can be kept and gone back to --------------

let typing = 0;

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!("search" in field.dataset)) return;
  clearTimeout(typing);
  typing = setTimeout(() => {
    const form = new FormData(field.form);
    const query = new URLSearchParams([...form].filter(([, value]) => value.trim()));
    // Not form.action: a field has that name.
    const place = field.form.getAttribute("action");
    history.replaceState(null, "", query.size ? `${place}?${query}` : place);
    refresh().then(sayFound, () => schedule(0));
  }, 120);
});

// For those who do not see the list change under the field.
function sayFound() {
  const found = all("a.card").length;
  const words = found ? `${found}${find('.paging a[href*="before"]') ? " and more" : ""} found` : "Nothing matches";
  say(document.querySelector("[data-said]"), words);
}

// --- Keys: single letters, never with a modifier, never while somebody types --------------------

function move(step) {
  const cards = all("a.card");
  const at = cards.indexOf(document.activeElement?.closest("a.card"));
  const next = cards[at < 0 ? (step > 0 ? 0 : cards.length - 1) : at + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

const KEYS = {
  "/": () => find("[data-search]")?.select(),
  j: () => move(1),
  k: () => move(-1),
  u: () => find(".back")?.click(),
  r: () => find('[data-opens="again"], .all-again a')?.click(),
  "?": () => DO.keys(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  // A dialog that was closed a moment ago may still have the focus.
  if (event.target.closest("input, textarea, select") || document.querySelector("dialog[open]")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

document.querySelector('footer [data-do="keys"]').hidden = false;
