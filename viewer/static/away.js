// Keeps the page while the viewer does not answer: instead of it a browser would show an error page of its
// own, and on a home screen there may be no way back. Names that it uses are in output.js and viewer.js.
"use strict";

const FRESH_MS = 250;
const PATIENCE_MS = 5000;
let failures = 0;
let heardAt = performance.now();
let knocking = null;
let held = false;

const away = () => (navigator.onLine ? "the viewer on your machine does not answer" : "this device is offline");

function sayAway(text) {
  say(document.querySelector("[data-offline]"), text && text[0].toUpperCase() + text.slice(1));
}

function lost() {
  failures += 1;
  document.body.classList.add("away");
}

function heard() {
  failures = 0;
  document.body.classList.remove("away");
  heardAt = performance.now();
  sayAway("");
  forgetUnsent();
}

function forgetUnsent() {
  for (const unsent of all(".unsent", document)) unsent.remove();
}

// What everybody may ask for, and what needs no records.
const knock = () => ask(document.querySelector('link[rel="manifest"]').href, "HEAD", PATIENCE_MS);
const isFresh = () => !failures && performance.now() - heardAt < FRESH_MS;

function answers() {
  knocking ??= knock().then(heard).then(() => true, () => false).finally(() => { knocking = null; });
  return knocking;
}

// Asked while the finger is still down, so that hardly a tap has to wait for the answer.
document.addEventListener("pointerdown", (event) => {
  if (event.target.closest("a, button") && !isFresh()) answers();
});

// Lets an event pass when the viewer has answered a moment ago. Else asks it first, and then does the same
// *again*; when no answer comes nothing has left this page, and *instead* says so.
async function hold(event, element, again, instead) {
  // A browser that cannot ask with patience goes on as without this script.
  if (isFresh() || !AbortSignal.timeout) return;
  event.preventDefault();
  if (held) return;
  held = true;
  element.ariaBusy = "true";
  const does = await answers();
  element.ariaBusy = null;
  held = false;
  if (does) return again();
  if (!failures) lost();
  instead();
  schedule(WAITS_MS[0]);
}

document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  const button = submitter ?? form;
  hold(event, button, () => form.requestSubmit(submitter), () => {
    forgetUnsent();
    sayAway(`${away()} – trying again`);
    const note = document.createElement("p");
    note.className = "unsent";
    note.role = "alert";
    note.textContent = "Not sent: the viewer does not answer";
    button.parentElement.append(note);
  });
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]:not([data-opens])");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || link.origin !== location.origin) return;
  if (link.hash && link.pathname + link.search === location.pathname + location.search) return;
  hold(event, link, () => link.click(), () => sayAway(`not opened: ${away()}`));
});
