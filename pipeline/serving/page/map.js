// The map view: a sample of the rows as points. A region is selected by dragging, with keys, or by numbers.

import { get } from "./api.js";
import { card, moveByArrows } from "./cards.js";
import { colours } from "./colours.js";
import { byId, count, counted, download, element, percent, say, sayIn } from "./dom.js";
import { likeRow } from "./search.js";

const MOST_CARDS = 60;
const MARGIN = 16;
const STEP = 0.05; // by which a key moves the region or one of its sides, in map units
const FIRST = { x0: -0.25, x1: 0.25, y0: -0.25, y1: 0.25 }; // region that the first key begins with

let found = null;
let paint = null; // colour of each point
let selected = [];
let region = null; // in map units: {x0, x1, y0, y1}

export function start(facts) {
  const useful = facts.columns.filter((column) => column.empty < 1 && (column.kind === "number" || column.kind === "flag" || (column.kind === "text" && (column.values.length > 1 || column.name.startsWith("duplicate")))));
  const names = useful.map((column) => column.name);
  names.sort((a, b) => (b === "cosine") - (a === "cosine"));
  byId("map-colour").append(...(names.length ? names : ["source"]).map((name) => element("option", { value: name }, name)));
  byId("map-draw").addEventListener("click", show);
  for (const id of ["map-vector", "map-colour"]) byId(id).addEventListener("change", show);
  byId("map-select").addEventListener("click", () => choose({ x0: number("x-from"), x1: number("x-to"), y0: number("y-from"), y1: number("y-to") }));
  byId("map-export").addEventListener("click", () => download("uids.txt", selected.map((place) => `${found.uids[place]}\n`).join(""), "text/plain"));
  moveByArrows(byId("map-rows"));
  drag(byId("map-canvas"));
  steer(byId("map-canvas"));
  addEventListener("resize", () => found && draw());
}

const number = (id) => Number(byId(id).value);

export async function show() {
  say("Drawing the map …");
  const colour = byId("map-colour").value;
  try {
    found = await get("/api/map", { vector: byId("map-vector").value, colour, points: byId("map-points").value });
  } catch (error) {
    sayIn("map", error.message, { isProblem: true, retry: show });
    return;
  }
  const made = colours(found.values);
  paint = made.paint;
  byId("map-legend").replaceChildren(...made.legend.map(([tint, words]) => element("li", {}, dot(tint), words)));
  byId("map-caption").textContent = `${count(found.uids.length)} of ${count(found.rows)} rows, coloured by ${colour}. Rows that are near each other have similar vectors; the two axes hold ${percent(found.explained)} of the differences. Drag to select.`;
  region = null;
  choose(null);
  sayIn("map", "");
}

function dot(tint) {
  const made = element("span", { class: "dot", "aria-hidden": "true" });
  made.style.background = tint;
  return made;
}

function scale(canvas) {
  const width = canvas.width - 2 * MARGIN, height = canvas.height - 2 * MARGIN;
  return {
    x: (value) => MARGIN + (width * (value + 1)) / 2,
    y: (value) => MARGIN + (height * (1 - value)) / 2,
    back: (x, y) => [(2 * (x - MARGIN)) / width - 1, 1 - (2 * (y - MARGIN)) / height],
  };
}

function draw() {
  const canvas = byId("map-canvas");
  const sharpness = Math.min(devicePixelRatio || 1, 2);
  canvas.width = canvas.clientWidth * sharpness;
  canvas.height = canvas.clientHeight * sharpness;
  const context = canvas.getContext("2d");
  const at = scale(canvas);
  const isChosen = new Set(selected);
  const radius = 3 * sharpness;
  context.clearRect(0, 0, canvas.width, canvas.height);
  found.uids.forEach((_, place) => {
    context.globalAlpha = !selected.length || isChosen.has(place) ? 0.85 : 0.18;
    context.fillStyle = paint[place];
    context.beginPath();
    context.arc(at.x(found.x[place]), at.y(found.y[place]), radius, 0, 7);
    context.fill();
  });
  if (!region) return;
  context.globalAlpha = 1;
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = sharpness;
  context.strokeRect(at.x(region.x0), at.y(region.y1), at.x(region.x1) - at.x(region.x0), at.y(region.y0) - at.y(region.y1));
}

function drag(canvas) {
  let from = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return scale(canvas).back(((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height);
  };
  const between = ([ax, ay], [bx, by]) => ({ x0: Math.min(ax, bx), x1: Math.max(ax, bx), y0: Math.min(ay, by), y1: Math.max(ay, by) });
  canvas.addEventListener("pointerdown", (event) => {
    if (!found) return;
    canvas.setPointerCapture(event.pointerId);
    from = place(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    region = between(from, place(event));
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!from) return;
    const to = place(event);
    const isClick = Math.hypot(to[0] - from[0], to[1] - from[1]) < 0.01;
    choose(isClick ? null : between(from, to));
    from = null;
  });
}

// Arrow keys move a frame, with Shift its right and upper side. Enter or Space selects what is in it, Esc nothing.
function steer(canvas) {
  const [right, up] = [{ ArrowRight: 1, ArrowLeft: -1 }, { ArrowUp: 1, ArrowDown: -1 }];
  canvas.addEventListener("keydown", (event) => {
    if (!found || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key.startsWith("Arrow")) {
      region = region ? moved(region, STEP * (right[event.key] ?? 0), STEP * (up[event.key] ?? 0), event.shiftKey) : FIRST;
      draw();
    } else if (event.key === "Enter" || event.key === " ") choose(region);
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  });
}

// The region, moved as far as the map reaches; or with only its right and upper side moved.
function moved({ x0, x1, y0, y1 }, x, y, isSide) {
  const within = (value, least, most) => Math.max(least, Math.min(most, value));
  if (isSide) return { x0, x1: within(x1 + x, x0 + STEP, 1), y0, y1: within(y1 + y, y0 + STEP, 1) };
  const [dx, dy] = [within(x, -1 - x0, 1 - x1), within(y, -1 - y0, 1 - y1)];
  return { x0: x0 + dx, x1: x1 + dx, y0: y0 + dy, y1: y1 + dy };
}

function choose(wanted) {
  if (!found) return;
  region = wanted;
  const isInside = (place) => wanted && found.x[place] >= wanted.x0 && found.x[place] <= wanted.x1 && found.y[place] >= wanted.y0 && found.y[place] <= wanted.y1;
  selected = found.uids.map((_, place) => place).filter(isInside);
  draw();
  byId("map-export").hidden = !selected.length;
  byId("map-selected").textContent = wanted ? `${counted(selected.length, "row")} selected${selected.length > MOST_CARDS ? `, ${MOST_CARDS} shown` : ""}` : "";
  byId("map-rows").replaceChildren(
    ...selected.slice(0, MOST_CARDS).map((place) => {
      const row = { uid: found.uids[place], caption: found.captions[place], columns: { [byId("map-colour").value]: found.values[place] } };
      return card(row, { actions: [["More like this", () => likeRow(row.uid, `image of ${(row.caption ?? row.uid).slice(0, 40)}`)]] });
    }),
  );
}
