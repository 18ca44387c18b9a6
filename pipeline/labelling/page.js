"use strict";
// Shows one pair at a time, keeps its labels in this browser, and saves and loads them as CSV. Captions are in the page
// as escaped text; this script moves no text of the table into markup.
const body = document.body;
const pairs = [...document.querySelectorAll("article")];
const place = new Map(pairs.map((pair, number) => [pair.dataset.uid, number]));
const values = ["right", "wrong", "unsure"];
const key = `siglane-labels-${body.dataset.draw}`;
const byId = (id) => document.getElementById(id);
let labels = {};   // by uid
let made = [];     // uids in the order of labelling, for undo
let shown = 0;     // pairs.length: the end

function remember() {
  try {
    localStorage.setItem(key, JSON.stringify({ labels, made, shown }));
  } catch {
    say("This browser does not keep labels. Save them before you close the page.");
  }
}

function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "null");
    if (!kept) return;
    for (const [uid, value] of Object.entries(kept.labels)) {
      if (place.has(uid) && values.includes(value)) labels[uid] = value;
    }
    made = kept.made.filter((uid) => uid in labels);
    shown = Math.min(Math.max(kept.shown, 0), pairs.length);
  } catch {
    labels = {};
    made = [];
  }
}

function say(words) {
  byId("status").textContent = words;
}

function counts() {
  const of = (value) => Object.values(labels).filter((found) => found === value).length;
  const done = Object.keys(labels).length;
  return `${done} of ${pairs.length} labelled: ${of("right")} right, ${of("wrong")} wrong, ${of("unsure")} unsure`;
}

function show(number, words) {
  shown = Math.min(Math.max(number, 0), pairs.length);
  pairs.forEach((pair, other) => { pair.hidden = other !== shown; });
  const atEnd = shown === pairs.length;
  byId("done").hidden = !atEnd;
  const label = atEnd ? undefined : labels[pairs[shown].dataset.uid];
  for (const button of document.querySelectorAll("[data-label]")) {
    button.setAttribute("aria-pressed", String(button.dataset.label === label));
    button.disabled = atEnd;
  }
  byId("back").disabled = shown === 0;
  byId("next").disabled = atEnd || label === undefined;
  byId("undo").disabled = made.length === 0;
  byId("bar").value = Object.keys(labels).length;
  say((atEnd ? "" : `Pair ${shown + 1}. `) + counts() + (words ? `. ${words}` : ""));
  remember();
}

function firstWithout(from) {
  const rest = pairs.findIndex((pair, number) => number >= from && !(pair.dataset.uid in labels));
  if (rest >= 0) return rest;
  const any = pairs.findIndex((pair) => !(pair.dataset.uid in labels));
  return any >= 0 ? any : pairs.length;
}

function label(value) {
  if (shown === pairs.length) return;
  const uid = pairs[shown].dataset.uid;
  labels[uid] = value;
  made = [...made.filter((other) => other !== uid), uid];
  show(firstWithout(shown + 1));
}

function undo() {
  const uid = made.pop();
  if (uid === undefined) return;
  delete labels[uid];
  show(place.get(uid));
}

function next() {
  if (shown < pairs.length && pairs[shown].dataset.uid in labels) show(shown + 1 < pairs.length ? shown + 1 : firstWithout(0));
}

function csv() {
  const draw = `"${body.dataset.all.replaceAll('"', '""')}"`;
  const rows = pairs
    .filter((pair) => pair.dataset.uid in labels)
    .map((pair) => [pair.dataset.uid, labels[pair.dataset.uid], pair.dataset.values, draw].join(","));
  return [body.dataset.columns, ...rows, ""].join("\n");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  show(shown, `Saved ${Object.keys(labels).length} labels`);
}

// The rows of a CSV text, each a list of values. Spreadsheets save semicolons or tabs too.
function rowsOf(text) {
  const first = text.split("\n", 1)[0];
  const between = [",", ";", "\t"].reduce((a, b) => (first.split(b).length > first.split(a).length ? b : a));
  const rows = [[""]];
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const row = rows[rows.length - 1];
    const c = text[i];
    if (quoted && c === '"' && text[i + 1] === '"') { row[row.length - 1] += '"'; i += 1; }
    else if (c === '"') quoted = !quoted;
    else if (!quoted && c === between) row.push("");
    else if (!quoted && c === "\n") rows.push([""]);
    else if (quoted || c !== "\r") row[row.length - 1] += c;
  }
  return rows.filter((row) => row.some((value) => value.trim()));
}

function sameDraw(text) {
  const [theirs, ours] = [JSON.parse(text), JSON.parse(body.dataset.all)];
  return theirs.draw === ours.draw || ["table", "by", "weights", "scores"].every((name) => theirs[name] === ours[name]);
}

function load(text) {
  const [names, ...rows] = rowsOf(text.replace(/^\ufeff/, ""));
  const column = Object.fromEntries((names ?? []).map((name, number) => [name.trim().toLowerCase(), number]));
  if (!("uid" in column) || !("label" in column)) throw new Error("it has no columns uid and label");
  const found = {};
  rows.forEach((row, number) => {
    const uid = (row[column.uid] ?? "").trim().toLowerCase();
    const value = (row[column.label] ?? "").trim().toLowerCase();
    const draw = (row[column.draw] ?? "").trim();
    if (!values.includes(value)) throw new Error(`row ${number + 2}: the label is none of ${values.join(", ")}`);
    if (draw && !sameDraw(draw)) throw new Error(`row ${number + 2}: it is of another draw`);
    if ((found[uid] ?? value) !== value) throw new Error(`row ${number + 2}: this uid has another label above`);
    found[uid] = value;
  });
  const here = Object.keys(found).filter((uid) => place.has(uid));
  for (const uid of here) {
    labels[uid] = found[uid];
    made = [...made.filter((other) => other !== uid), uid];
  }
  const others = Object.keys(found).length - here.length;
  show(firstWithout(0), `Loaded ${here.length} labels` + (others ? `; ${others} are of pairs that are not here` : ""));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const act = {
    r: () => label("right"), w: () => label("wrong"), u: () => label("unsure"),
    1: () => label("right"), 2: () => label("wrong"), 3: () => label("unsure"),
    arrowleft: () => show(shown - 1), arrowright: next, z: undo, backspace: undo, s: save, l: () => byId("file").click(),
  }[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});
for (const button of document.querySelectorAll("[data-label]")) {
  button.addEventListener("click", () => label(button.dataset.label));
}
byId("back").addEventListener("click", () => show(shown - 1));
byId("next").addEventListener("click", next);
byId("undo").addEventListener("click", undo);
byId("save").addEventListener("click", save);
byId("load").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", async () => {
  const [file] = byId("file").files;
  byId("file").value = "";
  if (!file) return;
  const before = { labels: { ...labels }, made };
  try {
    load(await file.text());
  } catch (error) {
    ({ labels, made } = before);
    say(`${file.name} cannot be loaded: ${error.message}`);
  }
});
recall();
show(shown < pairs.length && pairs[shown].dataset.uid in labels ? firstWithout(shown) : shown);
