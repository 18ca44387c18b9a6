// Draws how a score is distributed, with captions of other images behind it, and a line at the cut.

import { byId, drawn, element } from "./dom.js";

const WIDTH = 600, HEIGHT = 190, BOTTOM = 168;

export function histogram(found, threshold) {
  const chart = byId("cut-chart");
  const low = found.edges[0], high = found.edges.at(-1);
  const x = (value) => (WIDTH * (value - low)) / (high - low);
  const top = Math.max(...found.counts, ...(found.shuffled ?? [0]), 1);
  const steps = (heights) => heights.map((height, bar) => `V${BOTTOM - (BOTTOM - 8) * (height / top)}H${x(found.edges[bar + 1])}`).join("");
  const parts = [
    drawn("path", { class: "area pairs", d: `M0 ${BOTTOM}${steps(found.counts)}V${BOTTOM}Z` }),
    ...(found.shuffled ? [drawn("path", { class: "area shuffled", d: `M0 ${BOTTOM}${steps(found.shuffled)}V${BOTTOM}Z` })] : []),
    drawn("line", { class: "axis", x1: 0, x2: WIDTH, y1: BOTTOM, y2: BOTTOM }),
    ...ticks(low, high).flatMap((tick) => [drawn("line", { class: "axis", x1: x(tick), x2: x(tick), y1: BOTTOM, y2: BOTTOM + 4 })]),
    drawn("line", { class: "cut", x1: x(threshold), x2: x(threshold), y1: 0, y2: BOTTOM }),
  ];
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  chart.replaceChildren(...parts);
  byId("cut-ticks").replaceChildren(...ticks(low, high).map((tick) => word(tick, x(tick) / WIDTH)));
}

// Beside the drawing, which is stretched to the width of the page: words in it would be too.
function word(tick, share) {
  const made = element("span", {}, String(Number(tick.toPrecision(6))));
  made.style.left = `${100 * share}%`;
  return made;
}

export function moveCut(found, threshold) {
  const low = found.edges[0], high = found.edges.at(-1);
  const at = (WIDTH * (threshold - low)) / (high - low);
  const line = byId("cut-chart").querySelector(".cut");
  line?.setAttribute("x1", at);
  line?.setAttribute("x2", at);
}

function ticks(low, high) {
  const rough = (high - low) / 7, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let place = Math.ceil(low / step); place * step <= high; place += 1) found.push(place * step);
  return found;
}
