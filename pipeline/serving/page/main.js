// Starts the page: reads what the table holds, shows one view at a time, and handles keys that work everywhere.

import { get } from "./api.js";
import { showImages } from "./cards.js";
import { byId, counted, say } from "./dom.js";
import * as cut from "./cut.js";
import * as map from "./map.js";
import * as rejects from "./rejects.js";
import * as search from "./search.js";

const views = { search, filter: cut, map, rejects };
const shownOnce = new Set();

function show() {
  const name = location.hash.slice(1) in views ? location.hash.slice(1) : "search";
  for (const view of Object.keys(views)) byId(`view-${view}`).hidden = view !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  say("");
  if (name === "search" && !byId("hits").childElementCount) search.welcome();
  if (name !== "search" && !shownOnce.has(name)) views[name].show();
  shownOnce.add(name);
}

function keys(event) {
  const isWriting = event.target.closest("input, textarea, select");
  if (event.key === "/" && !isWriting && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    location.hash = "#search";
    byId("words").focus();
  } else if (event.key === "Escape" && isWriting) {
    event.target.blur();
  }
}

async function start() {
  say("Reading the table …");
  let facts;
  try {
    facts = await get("/api/table");
  } catch (error) {
    say(error.message, { isProblem: true, retry: start });
    return;
  }
  document.title = `${facts.table.split("/").pop()} – Siglane`;
  byId("about").textContent = `${facts.table.split("/").pop()}, version ${facts.version}: ${counted(facts.rows, "row")}`;
  showImages(facts.has_images);
  for (const view of Object.values(views)) view.start(facts);
  addEventListener("hashchange", show);
  document.addEventListener("keydown", keys);
  show();
}

start();
