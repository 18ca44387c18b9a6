// Makes elements. All text of the table goes through here, and becomes text nodes: never markup.

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  set(made, attributes);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(made, attributes);
  made.append(...children);
  return made;
}

function set(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
}

// What the page is doing, for eyes and screen readers. With `retry`, a button does it again.
export function say(words, { isProblem = false, retry = null } = {}) {
  const status = byId("status");
  status.classList.toggle("problem", isProblem);
  status.replaceChildren(words, ...(retry ? [" ", element("button", { type: "button", onclick: retry }, "Try again")] : []));
}

// As `say`, for an answer that may come after the reader has gone to another view.
export function sayIn(view, words, options) {
  if (!byId(`view-${view}`).hidden) say(words, options);
}

// Puts these into an element, in place of what it holds; null is nothing.
export function fill(parent, ...children) {
  parent.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

export const count = (number) => number.toLocaleString("en");
export const counted = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;
export const percent = (share) => `${(100 * share).toPrecision(3)} %`;
export function score(number) {
  if (number === null || number === undefined) return "–";
  return Math.abs(number) < 0.001 && number !== 0 ? number.toPrecision(2) : number.toFixed(4);
}

export function download(name, text, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Any value of a column as text.
export function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number" && !Number.isInteger(value)) return value.toPrecision(4);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
