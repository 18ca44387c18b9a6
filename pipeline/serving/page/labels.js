// Labels drawn pairs one after another, and saves them as the file that `siglane label` saves and `siglane filter` reads.
// Labels are kept in this browser until they are saved.

import { post } from "./api.js";
import { picture } from "./cards.js";
import { byId, download, element, say } from "./dom.js";

const VALUES = [["right", "Right", "r"], ["wrong", "Wrong", "w"], ["unsure", "Unsure", "u"]];

let scoreName = () => "cosine";
let draw = null;
let labels = {}; // by uid
let place = 0;

export function start(by) {
  scoreName = by;
  byId("draw").addEventListener("click", begin);
  byId("labelling").addEventListener("keydown", (event) => {
    if (!draw || event.target.closest("input") || event.ctrlKey || event.metaKey || event.altKey) return;
    const value = VALUES.find(([, , key]) => key === event.key.toLowerCase());
    if (value) label(value[0]);
    else if (event.key === "ArrowLeft") show(place - 1);
    else if (event.key === "ArrowRight") show(place + 1);
    else return;
    event.preventDefault();
  });
}

async function begin() {
  say("Drawing pairs …");
  try {
    draw = await post("/api/draw", {
      by: scoreName(),
      count: Number(byId("label-count").value),
      max_mismatch_fraction: Number(byId("label-fraction").value) / 100,
    });
  } catch (error) {
    say(error.message, { isProblem: true });
    return;
  }
  labels = recalled();
  say(`Drew ${draw.pairs.length} pairs.`);
  const first = draw.pairs.findIndex((pair) => !(pair.uid in labels));
  show(first < 0 ? draw.pairs.length : first);
}

const key = () => `siglane-labels-${draw.draw}`;

function recalled() {
  try {
    const kept = JSON.parse(localStorage.getItem(key()) ?? "{}").labels ?? {};
    const drawn = new Set(draw.pairs.map((pair) => pair.uid));
    return Object.fromEntries(Object.entries(kept).filter(([uid, value]) => drawn.has(uid) && VALUES.some(([name]) => name === value)));
  } catch {
    return {};
  }
}

function label(value) {
  if (place >= draw.pairs.length) return;
  labels[draw.pairs[place].uid] = value;
  try {
    localStorage.setItem(key(), JSON.stringify({ labels, made: Object.keys(labels), shown: place + 1 }));
  } catch {
    say("This browser does not keep labels. Save them before you close the page.");
  }
  show(place + 1);
}

function show(number) {
  place = Math.max(0, Math.min(number, draw.pairs.length));
  const done = Object.keys(labels).length;
  const bar = element("progress", { max: draw.pairs.length, value: done, "aria-label": "labelled pairs" });
  const counts = element("p", { id: "label-counts", role: "status" }, `${done} of ${draw.pairs.length} labelled`);
  const saving = element("button", { type: "button", onclick: save, disabled: done === 0 }, "Save labels.csv");
  if (place === draw.pairs.length) {
    byId("label-pair").replaceChildren(bar, counts, element("p", {}, "Save the labels, then cut with them:"), element("pre", { tabindex: "0" }, draw.command), saving);
    saving.focus();
    return;
  }
  const pair = draw.pairs[place];
  const buttons = VALUES.map(([value, words, letter]) =>
    element("button", { type: "button", class: value, "aria-pressed": String(labels[pair.uid] === value), onclick: () => label(value) }, `${words} `, element("kbd", {}, letter.toUpperCase())),
  );
  byId("label-pair").replaceChildren(
    bar,
    counts,
    element("p", { class: "question" }, "Does the caption describe the image?"),
    picture(pair.uid, pair.caption),
    element("p", { class: "caption", dir: "auto", "data-uid": pair.uid }, pair.caption ?? "no caption"),
    element("div", { class: "row" }, ...buttons, saving),
  );
  buttons[0].focus();
}

function save() {
  const record = `"${draw.record.replaceAll('"', '""')}"`;
  const rows = draw.pairs.filter((pair) => pair.uid in labels).map((pair) => [pair.uid, labels[pair.uid], pair.values, record].join(","));
  download("labels.csv", [draw.header, ...rows, ""].join("\n"), "text/csv");
  say(`Saved ${rows.length} labels.`);
}
