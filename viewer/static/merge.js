// Puts a fresh page into the open one: changes what differs and leaves the rest, with its focus, its
// selection and its open parts.
"use strict";

function merge(have, want) {
  if (have.isEqualNode(want)) return have;
  const same = have.nodeName === want.nodeName && have.dataset?.key === want.dataset?.key;
  if (!same) {
    const fresh = document.importNode(want, true);
    have.replaceWith(fresh);
    return fresh;
  }
  if (have.nodeType !== Node.ELEMENT_NODE) {
    have.data = want.data;
    return have;
  }
  if ("own" in have.dataset) return have;
  // Whether a part is open is for whoever looks to say.
  for (const { name } of [...have.attributes]) if (name !== "open" && !want.hasAttribute(name)) have.removeAttribute(name);
  for (const { name, value } of want.attributes) if (name !== "open" && have.getAttribute(name) !== value) have.setAttribute(name, value);
  mergeChildren(have, want);
  return have;
}

function mergeChildren(have, want) {
  const wanted = new Set([...want.children].map((child) => child.dataset.key));
  const keyed = new Map();
  for (const child of [...have.children]) {
    const key = child.dataset.key;
    if (key === undefined) continue;
    // What is gone goes first: the others then stand in order, and moving would take their focus.
    if (wanted.has(key)) keyed.set(key, child);
    else child.remove();
  }
  let at = have.firstChild;
  for (const child of [...want.childNodes]) {
    const key = child.dataset?.key;
    const known = key !== undefined ? keyed.get(key) : at && at.dataset?.key === undefined && at.nodeName === child.nodeName ? at : null;
    if (!known) {
      have.insertBefore(document.importNode(child, true), at);
      continue;
    }
    // White space before it that is not wanted any more goes, so that the element need not move.
    while (at && at !== known && key !== undefined && at.dataset?.key === undefined) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
    if (known === at) at = at.nextSibling;
    else have.insertBefore(known, at);
    merge(known, child);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
