// The page that predicts: photographs wait in a line, at most two are sent at a time, each gets a card.

import { ask, h, percent, picture } from "./common.js";

const AT_ONCE = 2;
const POLL = 1000; // milliseconds
const LABELS = 3; // of each network
const CLASSES = 5; // of many
const FEW_LABELS = 12; // of many, besides those that are named

const page = document.getElementById("state");
const drop = document.getElementById("drop");
const input = document.getElementById("files");
const answers = document.getElementById("answers");
const waiting = [];
let state = page?.dataset.state;
let sending = 0;

if (page) start();

function start() {
  input.addEventListener("change", () => {
    add(input.files);
    input.value = ""; // so that the same photograph can be chosen again
  });
  document.addEventListener("paste", (event) => add(event.clipboardData.files));
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(event.dataTransfer.files);
  });
  drop.addEventListener("submit", (event) => event.preventDefault());
  if (state === "loading") poll();
}

async function poll() {
  try {
    const { body } = await ask("/healthz");
    state = body.status;
    if (state === "ready") describe(body.run);
    if (state === "failed") fail(body.problem);
    document.getElementById("loading").hidden = state !== "loading";
  } catch {
    // The server is too busy to answer, or gone; asking again will tell.
  }
  if (state === "loading") setTimeout(poll, POLL);
  else send();
}

function describe(run) {
  const line = document.getElementById("run");
  const networks = run.networks.join(", ");
  line.replaceChildren("The run ", h("b", {}, run.name), ` answers: the head ${run.head} on ${networks}; ${run.score}.`);
  line.hidden = false;
}

function fail(problem) {
  document.getElementById("problem").textContent = problem;
  document.getElementById("failed").hidden = false;
  drop.hidden = true;
  for (const { card } of waiting.splice(0)) refuse(card, "Not answered, since the networks could not be loaded.");
}

function add(files) {
  const newest = answers.firstChild;
  for (const file of files) {
    const card = newCard(file);
    answers.insertBefore(card.element, newest);
    if (state === "failed") refuse(card, "Not answered, since the networks could not be loaded.");
    else if (file.size > Number(page.dataset.maxBytes)) refuse(card, `More than ${page.dataset.maxBytes / 2 ** 20} MB.`);
    else waiting.push({ file, card });
  }
  send();
}

function send() {
  while (state === "ready" && sending < AT_ONCE && waiting.length) {
    sending += 1;
    predict(waiting.shift()).finally(() => {
      sending -= 1;
      send();
    });
  }
}

async function predict({ file, card }) {
  card.verdict.textContent = "Looking …";
  const form = new FormData();
  form.append("file", file, file.name);
  form.append("why", "1");
  try {
    const { body } = await ask("/api/predict", { method: "POST", body: form });
    const result = body.results?.[0];
    if (!result || result.error) refuse(card, result?.error ?? body.error);
    else show(card, result, body.run);
  } catch (error) {
    refuse(card, error.message);
  }
}

function newCard(file) {
  const verdict = h("p", { className: "verdict" }, state === "loading" ? "Waiting for the networks …" : "Waiting …");
  const body = h("div", { className: "body" }, verdict);
  const name = file.name || "pasted photograph";
  const preview = h("img", { src: URL.createObjectURL(file), alt: "" });
  const frame = h("div", { className: "frame" }, preview);
  preview.addEventListener("load", () => URL.revokeObjectURL(preview.src));
  preview.addEventListener("error", () => {
    URL.revokeObjectURL(preview.src);
    preview.replaceWith(h("div", { className: "no-picture" }, "no preview"));
  });
  const title = h("h2", {}, name);
  return { element: h("article", { className: "answer", "aria-busy": "true" }, frame, body), body, verdict, name, title };
}

/** The sentence is what is read aloud; `shown` stands for it on the card. */
function finish(card, sentence, parts = [], shown = [sentence]) {
  card.verdict.replaceChildren(...shown);
  card.body.replaceChildren(card.title, card.verdict, ...parts.filter((part) => part !== null));
  card.element.removeAttribute("aria-busy");
  const log = document.getElementById("log");
  log.append(h("p", {}, `${card.name}: ${sentence}`));
  while (log.childElementCount > 20) log.firstChild.remove();
}

function refuse(card, sentence) {
  card.element.classList.add("refused");
  finish(card, sentence);
}

function show(card, result, run) {
  const said = (ANSWERS[run.kind] ?? ofClasses)(result, run);
  const reasons = [why(result.why), seen(result.labels), near(result.neighbours, run)];
  if (result.no_pet) {
    const forced = h("p", { className: "quiet" }, `Forced to choose, the head says ${said.inShort}.`);
    finish(card, `No cat or dog here, as far as ${result.votes} of ${result.networks} networks see`, [forced, ...reasons]);
  } else {
    finish(card, said.sentence, [...said.parts, ...reasons], said.shown);
  }
  card.element.classList.toggle("no-pet", result.no_pet);
}

// What is said by kind of task: a sentence, `shown` for it if it is no plain text, what stands below, and in short.
const ANSWERS = { labels: ofLabels, ordinal: ofGrades, number: ofNumbers };

function ofClasses(result) {
  const name = result.class;
  const share = percent(result.probabilities[name]);
  const classes = Object.entries(result.probabilities);
  // For two classes the probability of the second; for more those of the likeliest.
  const shown = classes.length === 2 ? classes.slice(1) : likeliest(classes).slice(0, CLASSES);
  return { sentence: `${a(name)}, ${share}`, parts: [bars(shown)], inShort: `${name} ${share}` };
}

function ofLabels(result) {
  const named = new Set(result.labels_named);
  const sentence = named.size ? result.labels_named.join(", ") : "None of the labels";
  const chips = result.labels_named.map((name) => h("span", { className: "chip" }, name));
  const labels = likeliest(Object.entries(result.probabilities));
  const others = labels.filter(([name]) => !named.has(name));
  const shown = [...labels.filter(([name]) => named.has(name)), ...others.slice(0, FEW_LABELS)];
  const left = labels.length - shown.length;
  const more = left ? h("p", { className: "quiet" }, `and ${left} less likely labels`) : null;
  const isPlain = labels.every(([name, share]) => named.has(name) === share >= 0.5);
  const why = isPlain ? null : h("p", { className: "quiet" }, "Each label is named from a threshold of its own on.");
  return { sentence, shown: named.size ? chips : [sentence], parts: [bars(shown, named), more, why], inShort: sentence };
}

function ofGrades(result) {
  const sentence = `Grade ${result.class}`;
  const shown = [h("span", { className: "what" }, "grade"), h("span", { className: "figure" }, result.class)];
  const grades = Object.entries(result.probabilities);
  const isPlain = likeliest(grades)[0][0] === result.class;
  const why = isPlain ? null : h("p", { className: "quiet" }, "The grade is cut from the expected one, not the likeliest.");
  return { sentence, shown, parts: [bars(grades), why], inShort: sentence };
}

function ofNumbers(result, run) {
  const numbers = Object.entries(result.numbers);
  const sentence = numbers.map(([name, value]) => `${name} ${figure(value)}`).join(", ");
  const shown = numbers.map(([name, value]) =>
    h("span", { className: "number" }, h("span", { className: "what" }, name), h("span", { className: "figure" }, figure(value)), range(run.ranges?.[name])),
  );
  return { sentence, shown, parts: [], inShort: sentence };
}

function range(seen) {
  if (!seen) return null;
  return h("span", { className: "range quiet" }, `training photographs: ${figure(seen[0])} to ${figure(seen[1])}`);
}

/** "63.52", "123,457": four digits, or all before the point. */
function figure(value) {
  const digits = Math.abs(value) < 1000 ? { maximumSignificantDigits: 4 } : { maximumFractionDigits: 0 };
  return value.toLocaleString("en", digits);
}

function likeliest(shares) {
  return [...shares].sort((x, y) => y[1] - x[1]);
}

function a(name) {
  return `${/^[aeiou]/i.test(name) ? "An" : "A"} ${name.replaceAll("_", " ")}`;
}

/** A bar for each name and its probability; those `named` are marked. */
function bars(shown, named = new Set()) {
  const rows = shown.map(([name, share]) => {
    const mark = named.has(name) ? h("span", { className: "unseen" }, " (named)") : null;
    const className = named.has(name) ? "row named" : "row";
    return h("div", { className }, h("dt", {}, name, mark), h("dd", {}, meter(name, share), h("span", {}, percent(share))));
  });
  return h("dl", { className: "bars" }, ...rows);
}

function meter(name, share) {
  const range = { "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": share, "aria-valuetext": percent(share) };
  const level = h("div");
  level.style.width = `${100 * share}%`;
  return h("div", { role: "meter", "aria-label": `probability of ${name}`, ...range }, level);
}

function seen(labels) {
  const networks = Object.entries(labels);
  if (!networks.length) return null;
  const rows = networks.map(([network, best]) => {
    const words = best.slice(0, LABELS).map(({ label, probability }) => `${label} ${Math.round(100 * probability)} %`);
    return h("div", { className: "row" }, h("dt", {}, network), h("dd", {}, words.join(", ")));
  });
  return h("section", {}, h("h3", {}, "What the networks see"), h("dl", { className: "seen" }, ...rows));
}

/** The photograph under its map; the page's policy lets in pictures of this site and blobs, so the JPEG becomes one. */
function why(map) {
  if (!map) return null;
  const name = map.speaks_for.replaceAll("_", " ");
  const bytes = Uint8Array.from(atob(map.jpeg), (letter) => letter.charCodeAt(0));
  const src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  const alt = `The photograph in grey: red areas speak for ${name}, blue areas against it.`;
  const image = h("img", { src, alt });
  image.addEventListener("load", () => URL.revokeObjectURL(src));
  const legend = h("span", { className: "scale" }, "against", h("span", { className: "ramp", role: "presentation" }), "for");
  const caption = h("figcaption", {}, `Red areas speak for ${name}, blue areas against it. `, legend);
  return h("section", {}, h("h3", {}, "Why"), h("figure", { className: "why" }, image, caption));
}

function near(neighbours, run) {
  if (!neighbours.length) return run.no_neighbours ? h("p", { className: "quiet" }, run.no_neighbours) : null;
  const items = neighbours.map(({ id, label, similarity, thumbnail }) =>
    h(
      "li",
      {},
      picture(thumbnail, ""),
      h("b", {}, label),
      h("span", { className: "quiet" }, ` ${similarity.toFixed(2)}`),
      h("span", { className: "id quiet", title: id }, id),
    ),
  );
  const title = h("h3", {}, "The nearest training photographs ", h("small", {}, "with their labels; 1 is the same"));
  return h("section", {}, title, h("ol", { className: "near" }, ...items));
}
