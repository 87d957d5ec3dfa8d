// The map of the codes: the row under the pointer, or beside the last one, and the colours.
// Only text is put on the page, never markup.
(() => {
  "use strict";
  const map = document.querySelector(".map");
  const data = document.getElementById("map-facts");
  if (!map || !data) return;
  const facts = JSON.parse(data.textContent);
  const svg = map.querySelector(".dots");
  const told = map.querySelector(".told");
  const dots = [...svg.querySelectorAll("circle")];
  const places = dots.map((dot) => ["cx", "cy"].map((name) => parseFloat(dot.getAttribute(name)) / 100));
  const sheets = Object.entries(facts.sheets || {}).map(([name, address]) => {
    const image = new Image();
    image.src = address;
    return [name, image];
  });
  let at = -1;

  const add = (parent, tag, text = "") => {
    const made = parent.appendChild(document.createElement(tag));
    made.textContent = text;
    return made;
  };

  const pictures = (i) => {
    const [width, height, across] = facts.size;
    const left = (i % across) * width;
    const top = Math.floor(i / across) * height;
    for (const [name, image] of sheets) {
      const figure = add(told, "figure");
      const canvas = add(figure, "canvas");
      canvas.width = width;
      canvas.height = height;
      canvas.getContext("2d").drawImage(image, left, top, width, height, 0, 0, width, height);
      add(figure, "figcaption", name);
    }
  };

  const curves = (i) => {
    const space = svg.namespaceURI;
    const plot = told.appendChild(document.createElementNS(space, "svg"));
    plot.setAttribute("viewBox", "0 -2 100 104");
    plot.setAttribute("preserveAspectRatio", "none");
    for (const [name, all] of Object.entries(facts.curves)) {
      const step = 100 / Math.max(1, all[i].length - 1);
      const line = plot.appendChild(document.createElementNS(space, "polyline"));
      line.setAttribute("class", `line ${name}`);
      line.setAttribute("points", all[i].map((y, x) => `${(x * step).toFixed(1)},${99 - y}`).join(" "));
    }
  };

  const misses = (i) => {
    const table = add(told, "table");
    const head = add(add(table, "thead"), "tr");
    for (const name of ["missed most", "true", "rebuilt"]) add(head, "th", name);
    const body = add(table, "tbody");
    for (const [name, ...values] of facts.misses[i]) {
      const row = add(body, "tr");
      add(add(row, "td"), "bdi", facts.names[name]);
      for (const value of values) add(row, "td", value).className = "number";
    }
  };

  const tell = (i) => {
    if (i === at) return;
    if (at >= 0) dots[at].classList.remove("at");
    at = i;
    dots[i].classList.add("at");
    svg.appendChild(dots[i]); // above the others
    told.textContent = "";
    const head = add(told, "p");
    add(head, "strong", `Row ${facts.rows[i]}`);
    if (facts.labels && facts.labels[i]) add(add(head, "span", " · "), "bdi", facts.labels[i]);
    if (facts.errors) add(told, "p", `squared error ${facts.errors[i]}`).className = "quiet";
    if (sheets.length) pictures(i);
    if (facts.curves) curves(i);
    if (facts.misses) misses(i);
  };

  const nearest = (x, y, width, height) => {
    let best = 0;
    let least = Infinity;
    places.forEach(([left, top], i) => {
      const distance = (left * width - x) ** 2 + (top * height - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    });
    return best;
  };

  const point = (event) => {
    const box = svg.getBoundingClientRect();
    tell(nearest(event.clientX - box.left, event.clientY - box.top, box.width, box.height));
  };

  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    tell((at + step + dots.length) % dots.length);
  });

  const choice = map.querySelector(".choice");
  if (choice) {
    choice.hidden = false;
    choice.addEventListener("click", (event) => {
      const by = event.target.dataset.by;
      if (!by) return;
      map.dataset.by = by;
      for (const button of choice.children) button.setAttribute("aria-pressed", String(button.dataset.by === by));
    });
  }
  told.hidden = false;
  add(told, "p", "Point at a dot, or go from row to row with the arrow keys.").className = "quiet";
})();
