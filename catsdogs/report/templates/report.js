"use strict";

(function filterSuspects() {
  const buttons = document.querySelectorAll(".filter button");
  const cards = document.querySelectorAll("#suspects .card");
  buttons.forEach((button) => button.addEventListener("click", () => {
    const kind = button.dataset.kind;
    let shown = 0;
    cards.forEach((card) => {
      card.hidden = kind !== "" && !card.dataset.kinds.split("|").includes(kind);
      shown += card.hidden ? 0 : 1;
    });
    buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    document.getElementById("filter-status").textContent = `${shown} suspects shown`;
  }));
})();

// Bokeh draws when it is ready, and only then has a document to ask.
(function whenDrawn(tries) {
  const found = (window.Bokeh ? Bokeh.documents : []).map((drawn) => drawn.get_model_by_name("map")).find(Boolean);
  if (found) {
    inkFigures();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", inkFigures);
    showOnMap(found);
  } else if (tries) {
    setTimeout(whenDrawn, 100, tries - 1);
  }
})(100);

// No one colour stands out enough from a light and from a dark ground.
function inkFigures() {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--muted").trim();
  const models = Bokeh.documents.flatMap((drawn) => drawn.roots()).flatMap((root) => [...root.references()]);
  for (const model of models) {
    for (const name of ["axis_label_text_color", "major_label_text_color", "label_text_color"]) {
      if (name in model.properties) model[name] = ink;
    }
  }
}

function showOnMap(found) {
  const column = (name) => Array.from(found.get_column(name) || []);
  const ids = column("id"), notes = column("note"), classes = column("class"), says = column("says");
  const labels = column("label"), losses = column("loss"), costs = column("cost"), pictures = column("picture");
  const marks = {ringed: column("ringed"), wrong: column("wrong")};
  const panel = document.getElementById("map-panel"), group = document.getElementById("map-group");
  let walked = [], place = -1, ours = false;

  function members() {
    const all = ids.map((_, row) => row);
    if (group.value === "") return all;
    const marked = marks[group.value];
    return all.filter((row) => (marked ? marked[row] : [labels[row]].flat().map(String).includes(group.value)));
  }

  function line(text, kind) {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    paragraph.className = kind;
    return paragraph;
  }

  function show(row) {
    const parts = [];
    if (pictures[row]) {
      const picture = document.createElement("img");
      picture.src = pictures[row];
      picture.alt = `photograph ${ids[row]}`;
      parts.push(picture);
    }
    parts.push(line(ids[row], "id"), line(classes[row], ""), line(says[row], ""));
    if (costs[row]) parts.push(line(costs[row], "muted"));
    if (notes[row]) parts.push(line(notes[row], "reason"));
    panel.replaceChildren(...parts);
  }

  function step(by) {
    if (!walked.length) return;
    place = place < 0 ? (by > 0 ? 0 : walked.length - 1) : (place + by + walked.length) % walked.length;
    choose([walked[place]]);
    show(walked[place]);
  }

  function choose(rows) {
    ours = true;
    found.selected.indices = rows;
    ours = false;
  }

  function gather() {
    walked = members().sort((one, other) => losses[other] - losses[one]);
    place = -1;
    choose(group.value === "" ? [] : walked.slice());
    panel.replaceChildren(line(group.value === "" ? "No photograph chosen." : `${walked.length.toLocaleString("en")} of ${ids.length.toLocaleString("en")} points`, "muted"));
  }

  group.addEventListener("change", gather);
  document.getElementById("map-next").addEventListener("click", () => step(1));
  document.getElementById("map-previous").addEventListener("click", () => step(-1));
  // A click may meet several points that lie upon each other: the first is shown.
  found.selected.properties.indices.change.connect(() => {
    if (ours) return;
    if (found.selected.indices.length) show(found.selected.indices[0]);
    else gather();
  });
  gather();
}
