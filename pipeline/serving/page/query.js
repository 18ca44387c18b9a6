// The parts of a query: texts to keep away from, images, and rows, each shown as a chip. The text box is one more part.

import { byId, element, say } from "./dom.js";

let parts = []; // {term, words, picture}
let changed = () => {};

export function onChange(act) {
  changed = act;
}

export function terms() {
  const words = byId("words").value.trim();
  return [...(words ? [{ text: words }] : []), ...parts.map((part) => part.term)];
}

export function add(term, words, picture = null) {
  parts.push({ term, words, picture });
  show();
  changed();
}

export function alone(term, words, picture = null) {
  byId("words").value = "";
  parts = [];
  add(term, words, picture);
}

export async function addImage(file) {
  if (!file.type.startsWith("image/")) {
    say(`${file.name || "That"} is not an image.`, { isProblem: true });
    return;
  }
  const url = await read(file);
  add({ image: url.slice(url.indexOf(",") + 1) }, file.name || "pasted image", URL.createObjectURL(file));
}

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function show() {
  byId("terms").replaceChildren(...parts.map(chip));
}

function chip(part, place) {
  const isAway = (part.term.weight ?? 1) < 0;
  const remove = () => {
    parts.splice(place, 1);
    show();
    byId("words").focus();
    changed();
  };
  const turn = () => {
    part.term.weight = isAway ? 1 : -1;
    show();
    changed();
  };
  return element(
    "li",
    { class: isAway ? "chip away" : "chip" },
    part.picture ? element("img", { src: part.picture, alt: "" }) : null,
    element("button", { type: "button", "aria-label": `${isAway ? "away from" : "towards"} ${part.words}: change the direction`, onclick: turn }, isAway ? "−" : "+"),
    element("span", { dir: "auto" }, part.words),
    element("button", { type: "button", "aria-label": `Remove ${part.words}`, onclick: remove }, "×"),
  );
}

export function listen() {
  const addAway = () => {
    const words = byId("away").value.trim();
    if (!words) return;
    byId("away").value = "";
    add({ text: words, weight: -1 }, words);
  };
  byId("add-away").addEventListener("click", addAway);
  byId("away").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    addAway();
  });
  byId("choose-image").addEventListener("click", () => byId("image-file").click());
  byId("image-file").addEventListener("change", () => {
    for (const file of byId("image-file").files) addImage(file);
    byId("image-file").value = "";
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) {
      event.preventDefault();
      files.forEach(addImage);
    }
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    location.hash = "#search";
    [...event.dataTransfer.files].forEach(addImage);
  });
}
