// The search view: asks for hits a page at a time, as far as the reader scrolls.

import { post } from "./api.js";
import { card, moveByArrows } from "./cards.js";
import { byId, count, counted, element, say } from "./dom.js";
import * as filters from "./filters.js";
import * as query from "./query.js";

const PAGE = 48;

let asked = null; // the search that is shown: {request, controller, hits, isDone}
let table = null;

export function start(facts) {
  table = facts;
  query.listen();
  query.onChange(search);
  filters.build(facts.columns, search);
  chooseColumns(facts.columns);
  byId("query").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  for (const id of ["against", "distinct", "hybrid"]) byId(id).addEventListener("change", search);
  byId("more").addEventListener("click", more);
  new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && more(), { rootMargin: "600px" }).observe(byId("more"));
  moveByArrows(byId("hits"));
  if (matchMedia("(min-width: 1000px)").matches) byId("filters").open = true;
  if (!facts.has_captions) byId("against").querySelector("[value=text]").disabled = true;
  byId("hybrid").disabled = !facts.has_words;
  if (!facts.has_model) {
    for (const id of ["words", "away", "add-away", "choose-image"]) byId(id).disabled = true;
  }
}

export function welcome() {
  const embedded = table.by_status.success ?? 0;
  if (!embedded) say("This table has no embedded rows yet, so there is nothing to search.");
  else if (!table.has_model) say("The vectors were imported without a model: start from a row of the map, or from a filter.");
  else if (!table.has_captions) say(`${counted(embedded, "image")} without captions. Search by text or image.`);
  else say(`${counted(embedded, "embedded row")}. Press / to search.`);
}

function chooseColumns(columns) {
  const ofEveryHit = ["uid", "caption", "source", "key", "cosine", "logit", "probability"];
  const others = columns.filter((column) => !ofEveryHit.includes(column.name));
  byId("columns").append(
    ...others.map((column, place) =>
      element("label", {}, element("input", { type: "checkbox", value: column.name, id: `column-${place}`, onchange: search }), column.name),
    ),
  );
}

function request() {
  return {
    terms: query.terms(),
    k: Math.min(PAGE, table.limits.max_k),
    where: filters.where(),
    columns: [...byId("columns").querySelectorAll(":checked")].map((box) => box.value).slice(0, 32),
    against: byId("against").value,
    distinct: byId("distinct").value,
    hybrid: byId("hybrid").checked && query.terms().some((term) => term.text && (term.weight ?? 1) > 0),
  };
}

export function search() {
  asked?.controller.abort();
  byId("hits").replaceChildren();
  byId("more").hidden = true;
  const wanted = request();
  if (!wanted.terms.length) {
    asked = null;
    welcome();
    return;
  }
  asked = { request: wanted, controller: new AbortController(), hits: 0, isDone: false, isBusy: false, best: null };
  say("Searching …");
  more();
}

async function more() {
  const ours = asked;
  if (!ours || ours.isBusy || ours.isDone) return;
  ours.isBusy = true;
  try {
    const { hits } = await post("/api/search", { ...ours.request, offset: ours.hits }, ours.controller.signal);
    if (ours !== asked) return;
    ours.best ??= hits[0]?.cosine ?? 1;
    byId("hits").append(...hits.map((hit) => hitCard(hit, ours.best)));
    ours.hits += hits.length;
    ours.isDone = hits.length < ours.request.k || ours.hits > 90000;
    byId("more").hidden = ours.isDone;
    say(ours.hits ? `${counted(ours.hits, "hit")}${ours.isDone ? "" : ", and more below"}` : "Nothing found. Loosen the filters, or describe something else.");
  } catch (error) {
    if (error.name !== "AbortError" && ours === asked) say(error.message, { isProblem: true, retry: more });
  } finally {
    ours.isBusy = false;
  }
}

function hitCard(hit, best) {
  const words = hit.caption ? hit.caption.slice(0, 40) : hit.uid.slice(0, 8);
  const actions = [["Like this image", () => likeThis({ uid: hit.uid }, `image of ${words}`)]];
  if (hit.caption !== null) actions.push(["Like this caption", () => likeThis({ uid: hit.uid, vector: "text" }, words)]);
  const [name, value] = hit.probability === null ? ["cosine", hit.cosine] : ["probability", hit.probability];
  return card(hit, { value, name, bar: best > 0 ? hit.cosine / best : null, actions });
}

function likeThis(term, words) {
  query.alone(term, words);
  scrollTo({ top: 0 });
  byId("words").focus({ preventScroll: true });
}

export function likeRow(uid, words) {
  location.hash = "#search";
  likeThis({ uid }, words);
}
