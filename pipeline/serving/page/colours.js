// Colours for the points of the map: a scale for numbers, and one colour each for the most frequent of other values.

const OTHERS = "#8a94a6";
const KINDS = ["#2f6fde", "#d1670a", "#16794c", "#8a4fd0", "#c01f4e", "#0e8a9a", "#a87b00", "#5b6f1f"];
const LOW = [38, 70, 168], MIDDLE = [200, 80, 130], HIGH = [246, 190, 60];

export function colours(values) {
  const numbers = values.filter((value) => typeof value === "number");
  const isScale = numbers.length > 0 && numbers.length >= values.filter((value) => value !== null).length && new Set(numbers).size > KINDS.length;
  return isScale ? byScale(values, numbers) : byKind(values);
}

function byScale(values, numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const low = sorted[Math.floor(0.01 * sorted.length)], high = sorted[Math.min(sorted.length - 1, Math.ceil(0.99 * sorted.length))];
  const tint = (value) => (typeof value === "number" ? mixed((value - low) / (high - low || 1)) : OTHERS);
  return { paint: values.map(tint), legend: [low, (low + high) / 2, high].map((value) => [tint(value), value.toPrecision(3)]) };
}

function mixed(share) {
  const at = Math.min(1, Math.max(0, share)) * 2;
  const [from, to] = at < 1 ? [LOW, MIDDLE] : [MIDDLE, HIGH];
  return `rgb(${from.map((part, place) => Math.round(part + (to[place] - part) * (at < 1 ? at : at - 1))).join(" ")})`;
}

function byKind(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const named = [...counts].filter(([value]) => value !== null).sort((a, b) => b[1] - a[1]).slice(0, KINDS.length);
  const tints = new Map(named.map(([value], place) => [value, KINDS[place]]));
  const legend = named.map(([value]) => [tints.get(value), String(value).slice(0, 60) || "(empty text)"]);
  if (tints.size < counts.size) legend.push([OTHERS, counts.size - tints.size === 1 && counts.has(null) ? "no value" : "others, or no value"]);
  return { paint: values.map((value) => tints.get(value) ?? OTHERS), legend };
}
