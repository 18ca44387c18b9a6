// Fields to filter by, made from the table's own columns. They write a condition, which can be edited too.

import { byId, element } from "./dom.js";

const FIRST = ["caption", "source", "cosine", "probability", "duplicate_of", "status"];
const HIDDEN = new Set(["uid", "image_sha256", "source_version", "source_rows", "member", "stage", "reason", "error_message", "image_hash", "dedup_judged", "status"]);
const quoted = (name) => `\`${name}\``;
const text = (value) => `'${value.replaceAll("'", "''")}'`;
const like = (value) => text(`%${value}%`);

let fields = []; // functions that give a condition or null

export function build(columns, apply) {
  const usable = columns.filter((column) => column.filterable && !HIDDEN.has(column.name) && column.empty < 1);
  usable.sort((a, b) => rank(a.name) - rank(b.name));
  fields = [];
  byId("filter-fields").replaceChildren(...usable.map(field).filter(Boolean));
  byId("filter-fields").addEventListener("change", () => {
    byId("condition").value = condition();
    apply();
  });
  byId("apply-filters").addEventListener("click", apply);
  byId("clear-filters").addEventListener("click", () => {
    for (const input of byId("filter-fields").querySelectorAll("input, select")) input.value = "";
    byId("condition").value = "";
    apply();
  });
}

export const where = () => byId("condition").value.trim() || null;

const rank = (name) => (FIRST.indexOf(name) + FIRST.length + 1) % (FIRST.length + 1);

const condition = () => fields.map((written) => written()).filter(Boolean).join(" AND ");

function field(column, place) {
  const id = `filter-${place}`;
  const label = element("label", { for: id }, column.name);
  if (column.kind === "number") return element("div", {}, label, ...numbers(column, id));
  if (column.kind === "flag") return element("div", {}, label, choice(column, id, [["yes", `${quoted(column.name)} = TRUE`], ["no", `${quoted(column.name)} = FALSE`]]));
  if (column.kind !== "text") return null;
  if (column.values.length) return element("div", {}, label, choice(column, id, column.values.map((value) => [value || "(empty text)", `${quoted(column.name)} = ${text(value)}`])));
  const input = element("input", { id, type: "text", placeholder: "contains …" });
  fields.push(() => (input.value.trim() ? `${quoted(column.name)} ILIKE ${like(input.value.trim())}` : null));
  return element("div", {}, label, input);
}

function choice(column, id, options) {
  const all = [...options, ["without a value", `${quoted(column.name)} IS NULL`]];
  const select = element("select", { id }, element("option", { value: "" }, "any"), ...all.map(([words], place) => element("option", { value: place }, words)));
  fields.push(() => (select.value === "" ? null : all[Number(select.value)][1]));
  return select;
}

function numbers(column, id) {
  const low = element("input", { id, type: "number", step: "any", placeholder: column.low === null ? "from" : `from ${Number(column.low.toPrecision(3))}` });
  const high = element("input", { type: "number", step: "any", "aria-label": `${column.name}, at most`, placeholder: column.high === null ? "to" : `to ${Number(column.high.toPrecision(3))}` });
  const value = (input) => (column.type.includes("int") ? String(Math.round(Number(input.value))) : String(Number(input.value)));
  fields.push(() => {
    const parts = [];
    if (low.value !== "") parts.push(`${quoted(column.name)} >= ${value(low)}`);
    if (high.value !== "") parts.push(`${quoted(column.name)} <= ${value(high)}`);
    return parts.join(" AND ") || null;
  });
  return [low, high];
}
