// The filter view: how a score is distributed, what a cut keeps, and the pairs at the cut.

import { get } from "./api.js";
import { card, moveByArrows } from "./cards.js";
import { histogram, moveCut } from "./chart.js";
import { byId, count, counted, element, fill, percent, say, sayIn } from "./dom.js";
import * as labels from "./labels.js";

const SETTLED = 250; // ms without a move of the slider
const ASSUMPTIONS = { random: "if wrong captions are of random images", similar: "if they are of similar images", any: "the most that the scores allow, of both kinds" };

let found = null; // the distribution that is shown
let threshold = 0;
let waiting = 0;
let controller = new AbortController();

export function start(facts) {
  const numbers = facts.columns.filter((column) => column.kind === "number" && column.low !== null && !["source_row", "source_rows"].includes(column.name));
  const names = numbers.map((column) => column.name).sort((a, b) => (b === "cosine") - (a === "cosine"));
  byId("cut-by").append(...names.map((name) => element("option", { value: name }, name)));
  byId("cut-by").addEventListener("change", show);
  byId("cut-slider").addEventListener("input", () => moveTo(found.edges[0] + (byId("cut-slider").value / 1000) * (found.edges.at(-1) - found.edges[0])));
  byId("cut-number").addEventListener("change", () => byId("cut-number").value !== "" && moveTo(Number(byId("cut-number").value)));
  byId("copy-command").addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId("cut-command").textContent);
    say("Copied.");
  });
  for (const id of ["above", "below"]) moveByArrows(byId(id));
  labels.start(() => byId("cut-by").value);
}

export async function show() {
  const by = byId("cut-by").value;
  if (!by) {
    say("No row has a score yet. `siglane score` fills them.");
    return;
  }
  say("Reading the scores …");
  try {
    found = await get("/api/cut", { by });
  } catch (error) {
    sayIn("filter", error.message, { isProblem: true, retry: show });
    return;
  }
  sayIn("filter", found.pairs ? `${counted(found.pairs, "row")} with a ${by}.` : `No row has a ${by} yet.`);
  byId("cut-caption").textContent = `How ${count(found.pairs)} pairs are distributed by ${by}, from ${found.edges[0].toPrecision(3)} to ${found.edges.at(-1).toPrecision(3)}` + (found.shuffled ? "; in orange, captions dealt to random other images" : "");
  threshold = middle();
  histogram(found, threshold);
  moveTo(threshold);
}

function middle() {
  const curve = found.curves?.mismatched.random;
  const place = curve?.findIndex((share) => share <= 0.05) ?? -1;
  if (place >= 0) return found.curves.thresholds[place];
  return (found.edges[0] + found.edges.at(-1)) / 2;
}

function moveTo(value) {
  if (!found) return;
  threshold = Number(value.toPrecision(6));
  byId("cut-number").value = threshold;
  byId("cut-slider").value = (1000 * (threshold - found.edges[0])) / (found.edges.at(-1) - found.edges[0]);
  byId("cut-slider").setAttribute("aria-valuetext", `${byId("cut-by").value} ${threshold}`);
  moveCut(found, threshold);
  tell(roughly());
  clearTimeout(waiting);
  waiting = setTimeout(examples, SETTLED);
}

function roughly() {
  return found.counts.reduce((sum, rows, bar) => {
    const [left, right] = [found.edges[bar], found.edges[bar + 1]];
    return sum + rows * Math.min(1, Math.max(0, (right - threshold) / (right - left)));
  }, 0);
}

function tell(kept) {
  const share = found.pairs ? kept / found.pairs : 0;
  fill(
    byId("cut-facts"),
    element("p", { class: "large", id: "cut-kept" }, `${count(Math.round(kept))} of ${count(found.pairs)} pairs, ${percent(share)}`),
    found.curves ? estimates() : element("p", { class: "soft" }, `No estimate of mismatched pairs: ${found.why_no_curves}.`),
    found.contradicted ? element("p", { class: "soft" }, `The scores of ${percent(found.contradicted)} of the pairs contradict that wrong captions are random.`) : null,
  );
}

function estimates() {
  const place = Math.max(0, found.curves.thresholds.findLastIndex((edge) => edge <= threshold + 1e-9));
  if (threshold > found.curves.thresholds.at(-1)) return element("p", { class: "soft" }, "Too few pairs reach this cut for an estimate.");
  const shares = Object.fromEntries(Object.entries(found.curves.mismatched).map(([name, curve]) => [name, curve[place]]));
  // Similar captions alone would need more pairs at the lowest scores than there are.
  const contradicted = { random: found.contradicted !== null, similar: shares.similar > shares.any };
  const rows = Object.entries(ASSUMPTIONS).map(([name, words]) =>
    element("tr", {}, element("th", { scope: "row" }, words), element("td", {}, percent(shares[name])), element("td", { class: "soft" }, contradicted[name] ? "contradicted by the scores" : "")),
  );
  return element("table", { id: "estimates" }, element("caption", {}, "Mismatched among the kept, estimated"), element("tbody", {}, ...rows));
}

async function examples() {
  controller.abort();
  controller = new AbortController();
  const by = byId("cut-by").value;
  try {
    const at = await get("/api/cut/examples", { by, threshold, count: 12 }, controller.signal);
    tell(at.kept);
    byId("cut-command").textContent = at.command;
    for (const side of ["above", "below"]) {
      byId(side).replaceChildren(...at[side].map((row) => card(row, { value: row.score, name: by })));
    }
  } catch (error) {
    if (error.name !== "AbortError") sayIn("filter", error.message, { isProblem: true, retry: examples });
  }
}
