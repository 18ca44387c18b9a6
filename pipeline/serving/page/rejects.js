// The rejects view: how many rows were rejected for which reason, from where, and some of them.

import { get } from "./api.js";
import { byId, count, counted, element, say, sayIn } from "./dom.js";

let reason = null;

export function start() {}

export async function show() {
  say("Reading the rejects …");
  let found;
  try {
    found = await get("/api/rejects", { reason, k: 100 });
  } catch (error) {
    sayIn("rejects", error.message, { isProblem: true, retry: show });
    return;
  }
  sayIn("rejects", found.rejected ? `${counted(found.rejected, "row was", "rows were")} rejected.` : "No row of this table was rejected.");
  byId("reject-reasons").replaceChildren(
    ...(found.rejected ? [button("every reason", found.rejected, null)] : []),
    ...Object.entries(found.by_reason).map(([name, rows]) => button(name, rows, name)),
  );
  byId("reject-sources").replaceChildren(
    header("Source", "Rows"),
    body(Object.entries(found.worst_sources).map(([source, rows]) => [source, count(rows)])),
  );
  byId("reject-rows").replaceChildren(
    header("Row", "Why"),
    body(found.rows.map((row) => [`${row.source} ${row.source_row}`, `${row.reason}: ${row.message}`])),
  );
}

function button(name, rows, value) {
  const choose = () => {
    reason = value;
    show();
  };
  return element("button", { type: "button", class: "chip", "aria-pressed": String(reason === value), onclick: choose }, `${name}: ${count(rows)}`);
}

const header = (...names) => element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name))));
const body = (rows) => element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", { dir: "auto" }, cell)))));
