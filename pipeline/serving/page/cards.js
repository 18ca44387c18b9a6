// A row as a card: its image, caption, scores and chosen columns; and the dialog with all of a row.

import { get } from "./api.js";
import { byId, element, fill, say, score, shown } from "./dom.js";

let hasImages = false;

export function showImages(whether) {
  hasImages = whether;
}

// `bar`: share of the widest score bar, 0 to 1. `actions`: [words, function] of buttons.
export function card({ uid, caption, source, key, captions = [], columns = {} }, { value = null, name = "", bar = null, actions = [] } = {}) {
  const words = caption === null || caption === undefined ? element("p", { class: "caption soft" }, "no caption") : element("p", { class: "caption", dir: "auto" }, caption);
  const more = captions.length > 1 ? element("p", { class: "soft" }, `and ${captions.length - 1} more`) : null;
  const made = element(
    "article",
    { class: "card", tabindex: "0", "aria-label": caption || "a row without a caption", "data-uid": uid },
    picture(uid, caption),
    element(
      "div",
      { class: "words" },
      words,
      more,
      value === null ? null : element("p", { class: "score" }, `${name} ${score(value)}`),
      bar === null ? null : scoreBar(bar),
      facts(columns),
      element("p", { class: "place" }, [source, key].filter((part) => part && !(part === key && source?.includes(key))).join(" ")),
      actions.length ? element("p", { class: "actions" }, ...actions.map(([label, act]) => element("button", { type: "button", onclick: act }, label))) : null,
    ),
  );
  made.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === made) open(uid);
  });
  made.querySelector(".picture").addEventListener("click", () => open(uid));
  return element("li", {}, made);
}

export function picture(uid, caption) {
  const frame = element("div", { class: "picture" });
  if (!hasImages) {
    frame.append(element("span", {}, "no image: the table stores no thumbnails, and the service was started without --input"));
    return frame;
  }
  const image = element("img", { src: `/api/rows/${uid}/thumbnail`, alt: caption ? `image of: ${caption.slice(0, 100)}` : "image without a caption", loading: "lazy" });
  image.addEventListener("error", async () => {
    frame.replaceChildren(element("span", {}, "the image cannot be shown"));
    try {
      await get(`/api/rows/${uid}/thumbnail`);
    } catch (error) {
      frame.replaceChildren(element("span", {}, error.message));
    }
  });
  frame.append(image);
  return frame;
}

function scoreBar(share) {
  const bar = element("span", {});
  bar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return element("span", { class: "bar", "aria-hidden": "true" }, bar);
}

function facts(values) {
  const names = Object.keys(values);
  if (!names.length) return null;
  return element("dl", { class: "facts" }, ...names.flatMap((name) => [element("dt", {}, name), element("dd", { dir: "auto" }, shown(values[name]))]));
}

export async function open(uid) {
  const dialog = byId("opened");
  try {
    const { row } = await get(`/api/rows/${uid}`);
    const close = element("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close");
    const parts = [close, element("h2", { dir: "auto" }, row.caption ?? "no caption")];
    if (hasImages) {
      const image = element("img", { src: `/api/rows/${uid}/image`, alt: "the original image" });
      image.addEventListener("error", () => image.replaceWith(picture(uid, row.caption)));
      parts.push(image);
    }
    parts.push(facts(row));
    fill(dialog, ...parts);
    if (!dialog.open) dialog.showModal();
  } catch (error) {
    say(error.message, { isProblem: true });
  }
}

// Arrow keys move between the cards of a list, by their places on the screen.
export function moveByArrows(list) {
  list.addEventListener("keydown", (event) => {
    const from = event.target.closest(".card");
    if (!from || event.target !== from || !event.key.startsWith("Arrow")) return;
    const cards = [...list.querySelectorAll(".card")];
    const next = event.key === "ArrowRight" ? cards[cards.indexOf(from) + 1] : event.key === "ArrowLeft" ? cards[cards.indexOf(from) - 1] : vertical(cards, from, event.key === "ArrowDown");
    event.preventDefault();
    next?.focus();
  });
}

function vertical(cards, from, isDown) {
  const here = from.getBoundingClientRect();
  const rows = cards.map((other) => [other, other.getBoundingClientRect()]).filter(([, at]) => (isDown ? at.top > here.top + 1 : at.top < here.top - 1));
  const near = ([, at]) => Math.abs(at.top - here.top) * 10 + Math.abs(at.left - here.left);
  return rows.sort((a, b) => near(a) - near(b))[0]?.[0];
}
