// The page that reviews: a grid of suspects, keys and buttons; what is decided shows at once and is sent in order.

import { ask, h, picture } from "./common.js";

const CHUNK = 120; // cards that are made at a time, as one scrolls
const POLL = 500; // milliseconds between two questions for the order
const WORDS = { keep: "kept", drop: "dropped", relabel: "relabelled" };

const find = (id) => document.getElementById(id);
const token = document.querySelector('meta[name="token"]').content;
const cards = find("cards");

const SEPARATOR = "|"; // between the labels of a photograph, or its numbers
const NO_LABEL = "(none)";
const HELP = {
  labels: "change the labels: Tab and Space press or release one, Enter saves",
  number: "give another number",
};

let taskKind = ""; // labels, number, or what has classes
let names = []; // the labels that there are, or what the numbers are of
let classes = [];
let suspects = []; // all of them: what the server listed, and the `card`, `decision`, `confirmed` and `pending` of each
let shown = []; // those the filters let through, in order
let made = 0; // how many of `shown` have their card in the page
let current = null;
const done = []; // decisions of this session that can be undone, oldest first

start();

async function start() {
  let listing;
  try {
    listing = await ask("/api/suspects");
  } catch (error) {
    return complain(error.message);
  }
  if (listing.status !== 200) return complain(listing.body.error);
  ({ kind: taskKind, names, classes } = listing.body);
  suspects = listing.body.suspects.map((row) => ({ ...row, confirmed: row.decision, pending: 0, card: null }));
  if (taskKind in HELP) find("relabel-help").textContent = HELP[taskKind];
  else if (classes.length === 2) find("relabel-help").textContent = "as the other class";
  const tests = suspects.filter(isTest).length;
  find("tests").hidden = !tests;
  find("tests").lastElementChild.textContent = `test photographs too (${tests.toLocaleString("en")})`;
  for (const id of ["kind", "which", "test"]) find(id).addEventListener("change", filter);
  new IntersectionObserver(([entry]) => entry.isIntersecting && make(), { rootMargin: "1500px" }).observe(find("more"));
  find("undo").addEventListener("click", undo);
  listenToKeys();
  filter();
  focus(current);
  if (suspects.some(({ decision }) => decision)) renew();
}

const isTest = (suspect) => suspect.split === "test";

// Which are shown

function filter() {
  const [kind, which, test] = [find("kind").value, find("which").value, find("test").checked];
  const candidates = suspects.filter((suspect) => test || !isTest(suspect));
  shown = candidates.filter(
    (suspect) =>
      (!kind || suspect.kinds.includes(kind)) &&
      (which === "all" || (!isTest(suspect) && (which === "decided") === Boolean(suspect.decision))),
  );
  countKinds(candidates, kind);
  cards.replaceChildren();
  made = 0;
  point(nextUndecided(-1) ?? shown[0]);
  make();
  find("nothing").hidden = shown.length > 0;
  count();
}

function make() {
  const more = shown.slice(made, made + CHUNK);
  for (const suspect of more) suspect.card ??= newCard(suspect);
  cards.append(...more.map((suspect) => suspect.card));
  made += more.length;
}

function countKinds(candidates, chosen) {
  const counts = new Map();
  for (const { kinds } of candidates) for (const kind of new Set(kinds)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  if (chosen && !counts.has(chosen)) counts.set(chosen, 0);
  const option = (value, name, number) =>
    h("option", { value, selected: value === chosen }, `${name} (${number.toLocaleString("en")})`);
  const kinds = [...counts].sort((a, b) => b[1] - a[1]).map(([kind, number]) => option(kind, kind, number));
  find("kind").replaceChildren(option("", "all", candidates.length), ...kinds);
}

function count() {
  const rows = suspects.filter((suspect) => !isTest(suspect));
  const decided = rows.filter((suspect) => suspect.decision).length;
  const numbers = { all: rows.length, undecided: rows.length - decided, decided };
  for (const option of find("which").options) {
    option.textContent = `${option.value} (${numbers[option.value].toLocaleString("en")})`;
  }
  find("count").textContent = progress(decided, rows.length);
  find("progress").max = Math.max(1, rows.length);
  find("progress").value = decided;
  find("undo").disabled = !done.length;
  return progress(decided, rows.length);
}

const progress = (decided, all) => `${decided.toLocaleString("en")} of ${all.toLocaleString("en")} decided`;

// Cards

function newCard(suspect) {
  const { id, label, split, score, labels, reasons } = suspect;
  const given = h("span", { className: "label" }, isTest(suspect) ? "test" : label);
  const title = h("h2", {}, id, " ", taskKind === "labels" && !isTest(suspect) ? null : given);
  const best = Object.entries(labels).map(([network, words]) =>
    h("div", {}, h("dt", {}, network), h("dd", {}, words.split(", ", 1)[0])),
  );
  const card = h(
    "li",
    { className: "card", tabIndex: suspect === current ? 0 : -1 },
    h("div", { className: "frame" }, picture(suspect.thumbnail, ""), h("span", { className: "badge", hidden: true })),
    h("div", { className: "title" }, title, h("span", { className: "score", title: "how doubtful, from 0 to 1" }, score.toFixed(2))),
    h("ul", { className: "reasons" }, ...reasons.map((reason) => h("li", {}, reason))),
    h("dl", { className: "best" }, ...best),
    taskKind === "labels" && !isTest(suspect) ? toggles(suspect) : null,
    split === "test" ? h("p", { className: "quiet" }, "A test photograph, only to look at") : buttons(suspect),
  );
  card.addEventListener("focusin", () => point(suspect));
  suspect.card = card;
  draw(suspect);
  return card;
}

function buttons(suspect) {
  const button = (word, key, text, act) => {
    const properties = { type: "button", "data-decision": word, "aria-keyshortcuts": key };
    const element = h("button", properties, text);
    element.addEventListener("click", act);
    return element;
  };
  const row = h(
    "div",
    { className: "buttons" },
    button("keep", "k", "Keep", () => decide(suspect, "keep")),
    button("drop", "d", "Drop", () => decide(suspect, "drop")),
  );
  if (taskKind === "labels") {
    row.append(button("relabel", "r", "Relabel", () => relabel(suspect)));
  } else if (taskKind === "number") {
    row.append(button("relabel", "r", "Relabel …", () => relabel(suspect)));
  } else if (others(suspect).length === 1) {
    row.append(button("relabel", "r", `Relabel: ${others(suspect)[0]}`, () => relabel(suspect)));
  } else if (others(suspect).length) row.append(button("relabel", "r", "Relabel …", () => relabel(suspect)));
  return row;
}

/** A box for each label, checked as it was given or decided; those that are doubted stand out. */
function toggles(suspect) {
  const boxes = names.map((name) => {
    const doubted = suspect.doubted.includes(name);
    const box = h("input", { type: "checkbox", value: name, "aria-description": doubted ? "doubted" : "" });
    return h("label", { className: doubted ? "doubted" : "", title: doubted ? "doubted" : "" }, box, h("span", {}, name));
  });
  const form = h("form", { className: "labels", "aria-label": `The labels of ${suspect.id}` }, ...boxes);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    if (event.key === "Enter") return relabel(suspect);
    draw(suspect);
    return suspect.card.focus();
  });
  return form;
}

const counting = ({ decision, label }) => (decision?.decision === "relabel" ? decision.label : label);
const boxesOf = (suspect) => [...suspect.card.querySelectorAll(".labels input")];
const textOf = (boxes) => boxes.filter((box) => box.checked).map((box) => box.value).join(SEPARATOR) || NO_LABEL;

const others = (suspect) => classes.filter((name) => name !== suspect.label);

function draw(suspect) {
  const { card, decision } = suspect;
  if (!card) return;
  const named = [suspect.id, isTest(suspect) ? "test" : suspect.label, decision && inWords(decision), ...suspect.reasons];
  card.setAttribute("aria-label", named.filter(Boolean).join(", "));
  card.dataset.decision = decision?.decision ?? "";
  const badge = card.querySelector(".badge");
  badge.hidden = !decision;
  badge.textContent = decision ? inWords(decision) : "";
  const labels = counting(suspect).split(SEPARATOR);
  for (const box of boxesOf(suspect)) box.checked = labels.includes(box.value);
  for (const button of card.querySelectorAll("[data-decision]")) {
    button.setAttribute("aria-pressed", button.dataset.decision === decision?.decision);
  }
}

const inWords = ({ decision, label }) => (decision === "relabel" ? `relabelled ${label}` : WORDS[decision]);

// Deciding

function relabel(suspect) {
  if (taskKind === "labels") return relabelByBoxes(suspect);
  if (taskKind === "number") return askFor(suspect, names.map((name) => numberField(suspect, name)));
  const found = others(suspect);
  if (found.length === 1) return decide(suspect, "relabel", found[0]);
  if (!found.length) return undefined;
  const select = h("select", { "aria-label": `The class of ${suspect.id}` }, h("option", { value: "" }, "which class?"));
  select.append(...found.map((name) => h("option", {}, name)));
  return askFor(suspect, [select]);
}

/** Saves labels that were changed; before that it goes to the first doubted one. */
function relabelByBoxes(suspect) {
  const boxes = boxesOf(suspect);
  const text = textOf(boxes);
  if (text === counting(suspect)) return (boxes.find((box) => box.closest(".doubted")) ?? boxes[0])?.focus();
  return text === suspect.label ? decide(suspect, "keep") : decide(suspect, "relabel", text);
}

function numberField(suspect, name) {
  const value = counting(suspect).split(SEPARATOR)[names.indexOf(name)];
  return h("input", { type: "number", step: "any", required: true, value, "aria-label": `${name} of ${suspect.id}`, title: name });
}

/** A form below a card for the label that counts from now on: a choice, or numbers. */
function askFor(suspect, fields) {
  if (suspect.card.querySelector("form.relabel")) return undefined;
  const [field] = fields;
  const form = h("form", { className: "relabel" }, ...fields, h("button", {}, "Relabel"), h("button", { type: "button" }, "Cancel"));
  const close = () => {
    form.remove();
    suspect.card.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!field.value) return field.focus();
    form.remove();
    return decide(suspect, "relabel", fields.map(({ value }) => value).join(SEPARATOR));
  });
  form.lastChild.addEventListener("click", close);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && event.target.matches("select") && field.value) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  suspect.card.append(form);
  return field.focus();
}

function decide(suspect, decision, label = "") {
  // A double click, or the same word once more, is no second decision that would have to be undone twice.
  if (suspect.decision?.decision !== decision || suspect.decision.label !== label) {
    const act = { suspect, before: suspect.decision, refused: false };
    done.push(act);
    change(suspect, { decision, label });
    send(act, "/api/decisions", { id: suspect.id, decision, label });
  }
  announce(`${suspect.id} ${inWords(suspect.decision)}. ${count()}.`);
  focus(nextUndecided(shown.indexOf(suspect)) ?? suspect);
}

function undo() {
  const act = done.pop();
  if (!act) return announce("Nothing of this visit is left to undo.");
  const { suspect } = act;
  change(suspect, act.before);
  send({ suspect, undoes: act }, "/api/decisions/undo", { id: suspect.id });
  if (!shown.includes(suspect)) {
    for (const [id, value] of [["kind", ""], ["which", "all"]]) find(id).value = value;
    filter();
  }
  announce(`${suspect.id} is ${suspect.decision ? inWords(suspect.decision) : "undecided"} again. ${count()}.`);
  return focus(suspect);
}

function change(suspect, decision) {
  suspect.decision = decision;
  draw(suspect);
}

let queue = Promise.resolve();
let unsent = 0;

/** Asks the server one after the other, since of two decisions about a photograph the last one counts. */
function send(act, address, body) {
  act.suspect.pending += 1;
  unsent += 1;
  queue = queue.then(() => tell(act, address, body)).then(() => {
    unsent -= 1;
  });
}

async function tell(act, address, body) {
  const { suspect } = act;
  try {
    if (act.undoes?.refused) return; // what was never written cannot be taken back
    const headers = { "Content-Type": "application/json", "X-Catsdogs-Token": token };
    const answer = await ask(address, { method: "POST", headers, body: JSON.stringify(body) });
    if (answer.status !== 200) throw new Error(answer.body.error);
    suspect.confirmed = answer.body.decision ? answer.body : null;
    renew();
    find("refused").hidden = true;
  } catch (error) {
    act.refused = true;
    if (done.includes(act)) done.splice(done.indexOf(act), 1);
    complain(`${suspect.id} is as it was. ${error.message}`);
  } finally {
    suspect.pending -= 1;
    if (!suspect.pending) {
      change(suspect, suspect.confirmed);
      count();
    }
  }
}

addEventListener("beforeunload", (event) => unsent && event.preventDefault());

function complain(sentence) {
  find("refused").textContent = sentence;
  find("refused").hidden = false;
}

function announce(sentence) {
  find("status").textContent = sentence;
}

// The order, which is renewed by what is decided

let version = 0;
let renewing = false;
let asked = 0; // how often the order was asked for

/** Asks for the order until none is on its way; decisions never wait for it. */
async function renew() {
  asked += 1;
  if (renewing) return;
  renewing = true;
  try {
    for (let waiting = true; waiting; ) {
      const before = asked;
      const { status, body } = await ask(`/api/order?after=${version}`);
      if (status !== 200) break;
      if (body.order) reorder(body);
      else if (body.problem) find("renewed").textContent = `The order stays: ${body.problem}`;
      waiting = body.waiting || asked > before;
      if (waiting) await new Promise((resolve) => setTimeout(resolve, POLL));
    }
  } catch {
    // The next decision asks again, and says what is wrong.
  }
  renewing = false;
}

/** What is on the screen, or above it, stays where it is; what comes below is put into the new order. */
function reorder({ order, decided, version: newest }) {
  version = newest;
  const ranks = new Map(order.map(([split, id, score], rank) => [`${split}/${id}`, { rank, score }]));
  const rankOf = ({ split, id }) => ranks.get(`${split}/${id}`)?.rank ?? ranks.size;
  const later = shown.slice(0, made).findLastIndex(({ card }) => card.getBoundingClientRect().top < innerHeight);
  const fixed = Math.max(later, shown.indexOf(current)) + 1;
  for (const suspect of suspects) {
    suspect.score = ranks.get(`${suspect.split}/${suspect.id}`)?.score ?? suspect.score;
    if (suspect.card) suspect.card.querySelector(".score").textContent = suspect.score.toFixed(2);
  }
  suspects.sort((one, other) => rankOf(one) - rankOf(other));
  shown = [...shown.slice(0, fixed), ...shown.slice(fixed).sort((one, other) => rankOf(one) - rankOf(other))];
  for (const { card } of shown.slice(fixed)) card?.remove();
  made = fixed;
  make();
  find("renewed").textContent = `Ordered anew by ${decided.toLocaleString("en")} decisions.`;
}

// Moving

/** Which card the keys are about; it is the one that Tab comes to. */
function point(suspect) {
  if (current?.card) current.card.tabIndex = -1;
  current = suspect ?? null;
  if (current?.card) current.card.tabIndex = 0;
}

function focus(suspect) {
  const index = shown.indexOf(suspect);
  while (index >= made) make();
  suspect?.card?.focus();
}

function nextUndecided(index) {
  const open = (suspect) => !suspect.decision && !isTest(suspect);
  return shown.slice(index + 1).find(open) ?? shown.slice(0, index + 1).find(open);
}

function move(by) {
  const index = Math.min(Math.max(shown.indexOf(current) + by, 0), shown.length - 1);
  focus(shown[index]);
}

const columns = () => getComputedStyle(cards).gridTemplateColumns.split(" ").length;

function act(word) {
  if (!current || isTest(current)) return;
  if (word === "relabel") relabel(current);
  else decide(current, word);
}

const KEYS = {
  k: () => act("keep"),
  d: () => act("drop"),
  r: () => act("relabel"),
  u: undo,
  n: () => move(1),
  j: () => move(1),
  p: () => move(-1),
  ArrowRight: () => move(1),
  ArrowLeft: () => move(-1),
  ArrowDown: () => move(columns()),
  ArrowUp: () => move(-columns()),
  "?": () => find("help").showModal(),
};

function listenToKeys() {
  const use = find("keys");
  use.checked = localStorage.getItem("keys") !== "off";
  use.addEventListener("change", () => localStorage.setItem("keys", use.checked ? "on" : "off"));
  find("help-button").addEventListener("click", () => find("help").showModal());
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !use.checked) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in KEYS)) return;
    event.preventDefault();
    if (!event.repeat || key.startsWith("Arrow")) KEYS[key]();
  });
}
