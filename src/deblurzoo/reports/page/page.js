"use strict";
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const touch = matchMedia("(pointer: coarse)").matches;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
  const literal = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // plotly interprets tags as markup
  const url = (key) => DATA.pictures[key];

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // Return a name with optional line breaks after punctuation.
  function breakable(text) {
    return text.split(/(?<=[._/-])/).flatMap((part) => [part, document.createElement("wbr")]);
  }

  function badge(network) {
    const made = element("span", { className: "badge", textContent: network.number });
    Object.assign(made.style, { background: network.colour, color: network.ink });
    return made;
  }

  // ---- table --------------------------------------------------------------------------------------------------

  function makeSortable(table) {
    const body = table.tBodies[0];
    for (const button of table.querySelectorAll("thead button")) {
      button.addEventListener("click", () => {
        const heading = button.parentElement;
        const { first } = button.dataset;
        const other = first === "ascending" ? "descending" : "ascending";
        const order = heading.getAttribute("aria-sort") === first ? other : first;
        for (const cell of table.tHead.rows[0].cells) cell.setAttribute("aria-sort", "none");
        heading.setAttribute("aria-sort", order);
        sortRows(body, Number(button.dataset.column), order === "ascending" ? 1 : -1);
      });
    }
  }

  function sortRows(body, column, direction) {
    const value = (row) => row.cells[column].dataset.value;
    const compare = column === 0
      ? (a, b) => value(a).localeCompare(value(b), "en", { numeric: true })
      : (a, b) => value(a) - value(b);
    const rows = [...body.rows].filter((row) => !row.classList.contains("blurry") && !row.classList.contains("unfinished"));
    const missing = (row) => value(row) === "";
    rows.sort((a, b) => missing(a) - missing(b) || direction * compare(a, b));
    const unfinished = body.querySelector(".unfinished");
    for (const row of rows) body.insertBefore(row, unfinished);
  }

  // ---- figures ------------------------------------------------------------------------------------------------

  function themed(layout) {
    const style = getComputedStyle(document.documentElement);
    const [ink, line, quiet] = ["--ink", "--line", "--quiet"].map((name) => style.getPropertyValue(name).trim());
    const axis = (own) => ({
      gridcolor: line, linecolor: line, zeroline: false, automargin: true, fixedrange: touch, ...own,
      title: { ...(own || {}).title, standoff: 10, font: { size: 13 } },
    });
    return {
      autosize: true, margin: { l: 56, r: 18, t: 12, b: 48 }, showlegend: false, hovermode: "closest",
      dragmode: touch ? false : "zoom", paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style.getPropertyValue("font-family") || "sans-serif", size: 12, color: ink },
      ...layout,
      xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
      shapes: (layout.shapes || []).map((shape) => ({ ...shape, layer: "below", line: { color: quiet, dash: "dash", width: 1.5 } })),
      annotations: (layout.annotations || []).map((note) => ({ ...note, font: { color: quiet, size: 12 } })),
    };
  }

  const drawn = new Map(); // plot element → function that redraws the plot when the colours of the page change
  function draw(place, traces, layout) {
    const again = () => Plotly.react(place, traces, themed(layout), { displayModeBar: false, responsive: true });
    drawn.set(place, again);
    return again();
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((again) => again()));

  function drawFigures(section, group) {
    const hidden = new Set();
    const shown = ({ network }) => !hidden.has(network);
    const redraws = [];
    for (const box of section.querySelectorAll("[data-figure]")) {
      const figure = group.figures[box.dataset.figure];
      box.hidden = !figure;
      if (!figure) continue;
      const place = box.querySelector(".plot");
      place.setAttribute("role", "img");
      place.setAttribute("aria-label", `${box.querySelector("figcaption").textContent}, one mark per network; the table lists the values`);
      const layout = figure.beside ? { ...figure.layout, margin: { l: 56, r: 56, t: 12, b: 48 } } : figure.layout;
      redraws.push(() => draw(place, figure.data.filter(shown), layout));
      redraws.at(-1)();
      place.on("plotly_afterplot", () => placeLabels(place, group, figure, figure.labels.filter(shown)));
    }
    const redraw = () => redraws.forEach((one) => one());
    redraw();
    for (const network of group.networks) {
      const chip = element("button", { type: "button" }, badge(network), element("span", {}, ...breakable(network.name)));
      chip.setAttribute("aria-pressed", "true");
      chip.addEventListener("click", () => {
        if (!hidden.delete(network.number)) hidden.add(network.number);
        chip.setAttribute("aria-pressed", String(!hidden.has(network.number)));
        redraw();
      });
      section.querySelector(".legend").append(chip);
    }
  }

  // Labels of curves are placed next to their ends, in vertical order; in two columns if the plot is too low for one.
  // Labels of points are placed at the nearest free position.
  const LABEL = 19;
  const AROUND = [17, 30, 44, 60, 80].flatMap((radius) => [90, 0, 180, 45, 135, 270, 225, 315].map((angle) =>
    [radius * Math.cos((angle * Math.PI) / 180), -radius * Math.sin((angle * Math.PI) / 180)]));
  const far = (a, b, distance) => Math.hypot(a[0] - b[0], a[1] - b[1]) >= distance;

  function beside(points, height) {
    const order = points.map((_, index) => index).sort((a, b) => points[a][1] - points[b][1]);
    const places = order.map((index) => points[index][1]);
    const apart = Math.min(LABEL, height / Math.max(1, places.length - 1));
    for (let i = 1; i < places.length; i++) places[i] = Math.max(places[i], places[i - 1] + apart);
    for (let i = places.length - 1, limit = height; i >= 0; i--, limit = places[i + 1] - apart) places[i] = Math.min(places[i], limit);
    const offsets = [];
    order.forEach((index, place) => {
      offsets[index] = [apart < LABEL && place % 2 ? 20 + LABEL : 20, places[place] - points[index][1]];
    });
    return offsets;
  }

  function around(points, width, height, obstacles) {
    const taken = [...obstacles];
    return points.map((point) => {
      const at = ([x, y]) => [point[0] + x, point[1] + y];
      const free = (offset) => {
        const [x, y] = at(offset);
        return x > 8 && x < width - 8 && y > 0 && y < height && taken.every((other) => far([x, y], other, LABEL - 0.5)) &&
          points.every((other) => far([x, y], other, 14));
      };
      const offset = AROUND.find(free) ?? AROUND[0];
      taken.push(at(offset));
      return offset;
    });
  }

  function placeLabels(place, group, figure, labels) {
    const { xaxis, yaxis } = place._fullLayout;
    const points = labels.map(({ x, y }) => [xaxis.d2p(x), yaxis.d2p(y)]);
    const words = (figure.layout.annotations || []).flatMap(({ text, y, yref }) =>
      [...text].map((_, index) => [xaxis._length - 7 * index, yref === "paper" ? yaxis._length - 9 : yaxis.d2p(y) + 9]));
    const offsets = figure.beside ? beside(points, yaxis._length) : around(points, xaxis._length, yaxis._length, words);
    const placed = labels.map((label, index) =>
      note(group.networks.find(({ number }) => number === label.network), label, offsets[index], xaxis, yaxis));
    const annotations = [...themed(figure.layout).annotations, ...placed];
    const wanted = JSON.stringify(annotations);
    if (JSON.stringify(place.layout.annotations) === wanted) return; // this plot already shows the labels
    Plotly.relayout(place, { annotations: JSON.parse(wanted) });
  }

  function note(network, { x, y }, [ax, ay], xaxis, yaxis) {
    const on = (axis, value) => (axis.type === "log" ? Math.log10(value) : value);
    return {
      x: on(xaxis, x), y: on(yaxis, y), ax, ay, text: `<b>${network.number}</b>`, showarrow: true, arrowhead: 0,
      arrowwidth: 1.5, arrowcolor: network.colour, bgcolor: network.colour, borderpad: 2, width: 12, height: 12,
      font: { color: network.ink, size: 11 }, standoff: 3,
    };
  }

  // ---- per-image differences ----------------------------------------------------------------------------------

  // A layer is "blurry", "sharp" or the index of a network.
  const nameOf = (group, layer) => (layer in group.networks ? group.networks[layer].name : layer === "blurry" ? "blurry input" : layer);
  const labelOf = (group, layer) => (layer in group.networks ? `${group.networks[layer].number} · ` : "") + nameOf(group, layer);
  // `figureOf` returns values of the metric selected in a section; `group.metrics` lists the metrics of the section.
  const metricOf = (group) => group.metrics[group.metric];
  const figureOf = (group, image, layer) => (layer === "blurry" ? image.blurry : image.restored[layer] ?? [])[group.metric];
  const unitOf = (group) => (metricOf(group).unit ? `\u00a0${metricOf(group).unit}` : "");
  const change = (group, value) => signed(value, metricOf(group).digits) + unitOf(group);
  const gain = (group, from, to) => (metricOf(group).higher ? to - from : from - to);
  const colourOf = (group, layer) => (layer in group.networks ? group.networks[layer].colour : "#777");
  const keyOf = (frame, layer) => (layer === "blurry" || layer === "sharp" ? frame[layer] : frame.restored[layer]);

  function fill(select, layers, group) {
    select.replaceChildren(...layers.map((layer) => element("option", { value: layer, textContent: labelOf(group, layer) })));
  }

  function bestLayer(group, layers) {
    const mean = (layer) => {
      const values = group.images.map((image) => figureOf(group, image, layer)).filter((value) => value != null);
      return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
    };
    const beats = (a, b) => mean(a) != null && (mean(b) == null || gain(group, mean(b), mean(a)) > 0);
    return layers.reduce((best, layer) => (beats(layer, best) ? layer : best));
  }

  function differences(section, group, view) {
    const box = section.querySelector(".differences");
    const indices = group.networks.map((_, index) => String(index));
    const [first, second] = ["first", "second"].map((name) => box.querySelector(`[data-choice=${name}]`));
    for (const select of [first, second]) fill(select, ["blurry", ...indices], group);
    second.value = bestLayer(group, indices);
    first.value = indices.find((index) => index !== second.value) ?? "blurry";
    let before = [first.value, second.value];
    const update = () => {
      if (first.value === second.value) [first.value, second.value] = [before[1], before[0]];
      before = [first.value, second.value];
      showDifferences(box, group, first.value, second.value, view);
    };
    first.addEventListener("change", update);
    second.addEventListener("change", update);
    const by = box.querySelector("[data-choice=metric]");
    by.replaceChildren(...group.metrics.map(({ heading }, index) => element("option", { value: index, textContent: heading })));
    by.addEventListener("change", () => { group.metric = by.selectedIndex; update(); view.update(); });
    update();
  }

  function showDifferences(box, group, first, second, view) {
    const rows = group.images
      .map((image) => ({ id: image.id, clip: image.clip, first: figureOf(group, image, first), second: figureOf(group, image, second) }))
      .filter((row) => row.first != null && row.second != null)
      .map((row) => ({ ...row, difference: row.second - row.first, gain: gain(group, row.first, row.second) }))
      .sort((a, b) => b.gain - a.gain);
    const place = box.querySelector(".bars");
    place.hidden = !rows.length;
    if (!rows.length) {
      box.querySelector(".verdict").textContent = "No image has values for both choices.";
      box.querySelector(".extremes").replaceChildren();
      return;
    }
    const better = rows.filter((row) => row.gain > 0).length;
    box.querySelector(".verdict").textContent =
      `${nameOf(group, second)} is better than ${nameOf(group, first)} on ${better} of ${rows.length} images; mean difference ${overClips(group, rows)}.`;
    drawBars(place, group, rows, first, second, view);
    const frames = new Map(group.frames.map((frame) => [frame.id, frame]));
    box.querySelector(".extremes").replaceChildren(
      extremes(group, rows, "best", first, second, frames, view),
      extremes(group, [...rows].reverse(), "worst", first, second, frames, view),
    );
  }

  // Return the mean over clips of the clips' mean differences, and its 95 % interval by Student's t.
  function overClips(group, rows) {
    const clips = new Map(rows.map((row) => [row.clip, []]));
    for (const row of rows) clips.get(row.clip).push(row.difference);
    const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const means = [...clips.values()].map(average);
    const mean = average(means);
    const quantile = group.quantiles[means.length];
    const text = `over ${means.length} clip${means.length === 1 ? "" : "s"}: ${change(group, mean)}`;
    if (!quantile) return `${text}, too few clips for an interval`;
    const squares = means.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const margin = quantile * Math.sqrt(squares / (means.length - 1) / means.length);
    return `${text}, 95\u00a0% interval ${change(group, mean - margin)} to ${change(group, mean + margin)}`;
  }

  function drawBars(place, group, rows, first, second, view) {
    const bars = {
      type: "bar", x: rows.map((_, index) => index + 1), y: rows.map((row) => row.difference),
      customdata: rows.map((row) => row.id),
      text: rows.map((row) => literal(row.id)), textposition: "none",
      marker: { color: rows.map((row) => colourOf(group, row.gain >= 0 ? second : first)) },
      hovertemplate: `%{text}<br>%{y:+.${metricOf(group).digits}f}${literal(unitOf(group))}<extra></extra>`,
    };
    const { heading, unit } = metricOf(group);
    const layout = {
      bargap: rows.length > 150 ? 0 : 0.15,
      xaxis: { title: { text: "images, sorted" }, range: [0.4, rows.length + 0.6], showgrid: false, tickformat: "d" },
      yaxis: { title: { text: literal(`${heading} difference${unit ? ` (${unit})` : ""}`) }, rangemode: "tozero", zeroline: true },
    };
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${heading} differences of all images, sorted; the extremes are listed below`);
    draw(place, [bars], layout);
    place.removeAllListeners("plotly_click");
    place.on("plotly_click", ({ points }) => view.show(points[0].customdata, first, second));
  }

  function extremes(group, rows, which, first, second, frames, view) {
    const plain = (value) => value.toFixed(metricOf(group).digits);
    const list = element("ol", {}, ...rows.slice(0, 3).map((row) => element("li", {
      textContent: `${row.id}: ${change(group, row.difference)} (${plain(row.first)}\u00a0→\u00a0${plain(row.second)})`,
    })));
    const box = element("div", {}, element("h4", {}, ...breakable(`${nameOf(group, second)}: ${which} images`)), list);
    const shown = rows.find((row) => {
      const frame = frames.get(row.id);
      return frame && keyOf(frame, first) && keyOf(frame, second);
    });
    if (shown) box.append(...thumbnails(group, shown, first, second, frames, view));
    return box;
  }

  function thumbnails(group, row, first, second, frames, view) {
    const frame = frames.get(row.id);
    const thumbs = [first, second, "sharp"].map((layer) => element("div", {},
      element("img", { src: url(keyOf(frame, layer)), alt: `${row.id}, ${nameOf(group, layer)}`, width: frame.width, height: frame.height }),
      element("span", {}, ...breakable(nameOf(group, layer)))));
    const open = element("button", { type: "button", textContent: "Open in the viewer" });
    open.addEventListener("click", () => view.show(row.id, first, second));
    return [
      element("p", { textContent: `First image available in the viewer: ${row.id}, ${change(group, row.difference)}` }),
      element("div", { className: "thumbs" }, ...thumbs), open,
    ];
  }

  // ---- viewer -------------------------------------------------------------------------------------------------

  const HIGHEST_ZOOM = 32;

  function viewer(section, group) {
    const box = section.querySelector(".viewer");
    box.hidden = !group.frames.length;
    if (box.hidden) return { show() {}, update() {} };
    const stage = box.querySelector(".stage");
    const choice = Object.fromEntries([...box.querySelectorAll("[data-choice]")].map((made) => [made.dataset.choice, made]));
    const layers = ["blurry", ...group.networks.map((_, index) => String(index)), "sharp"];
    const state = { scale: 1, x: 0, y: 0 }; // x, y: top left corner of the image, as fractions of the stage's width and height
    const frame = () => group.frames[choice.frame.selectedIndex];

    const place = () => {
      state.scale = clamp(state.scale, 1, HIGHEST_ZOOM);
      state.x = clamp(state.x, 1 - state.scale, 0);
      state.y = clamp(state.y, 1 - state.scale, 0);
      for (const world of stage.querySelectorAll(".world")) {
        world.style.transform = `translate(${100 * state.x}%, ${100 * state.y}%) scale(${state.scale})`;
      }
      stage.classList.toggle("zoomed", state.scale > 1);
      stage.classList.toggle("pixels", (state.scale * stage.clientWidth) / frame().width >= 2);
      box.querySelector("output").textContent = `${Math.round(100 * state.scale)} %`;
    };
    const zoom = (factor, x = 0.5, y = 0.5) => {
      const scale = clamp(state.scale * factor, 1, HIGHEST_ZOOM);
      state.x = x - ((x - state.x) * scale) / state.scale;
      state.y = y - ((y - state.y) * scale) / state.scale;
      state.scale = scale;
      place();
    };
    const pan = (x, y) => { state.x += x; state.y += y; place(); };
    const reset = () => { Object.assign(state, { scale: 1, x: 0, y: 0 }); place(); };
    const split = (percent) => {
      choice.split.value = clamp(percent, 0, 100);
      stage.style.setProperty("--split", `${choice.split.value}%`);
    };
    const tag = (side, layer) => {
      const image = group.images.find((candidate) => candidate.id === frame().id);
      const figure = image && figureOf(group, image, layer);
      stage.querySelector(`.tag.${side}`).textContent = nameOf(group, layer) +
        (figure == null ? "" : ` · ${figure.toFixed(metricOf(group).digits)}${unitOf(group)}`);
    };
    const update = () => {
      const { width, height } = frame();
      stage.style.aspectRatio = `${width} / ${height}`;
      stage.style.maxWidth = `min(100%, ${Math.max(480, 4 * width)}px, ${(80 * width) / height}vh)`;
      for (const side of ["left", "right"]) {
        for (const option of choice[side].options) option.disabled = !keyOf(frame(), option.value);
        if (!keyOf(frame(), choice[side].value)) choice[side].value = "blurry";
        const pane = stage.querySelector(`.pane.${side}`);
        pane.querySelector(".layer").src = url(keyOf(frame(), choice[side].value));
        pane.querySelector(".layer").alt = `${frame().id}, ${nameOf(group, choice[side].value)}`;
        pane.querySelector(".sharp").src = url(frame().sharp);
        tag(side, choice[side].value);
      }
      stage.classList.toggle("error", choice.error.checked);
      place();
    };

    choice.frame.replaceChildren(...group.frames.map((one) => element("option", { textContent: one.id })));
    for (const side of ["left", "right"]) fill(choice[side], layers, group);
    const seen = layers.slice(1, -1).filter((layer) => group.frames[0].restored[layer]);
    choice.left.value = "blurry";
    choice.right.value = seen.length ? bestLayer(group, seen) : "sharp";
    for (const name of ["frame", "left", "right", "error"]) choice[name].addEventListener("change", update);
    choice.split.addEventListener("input", () => split(Number(choice.split.value)));
    const actions = { in: () => zoom(1.5), out: () => zoom(1 / 1.5), reset };
    for (const button of box.querySelectorAll("[data-zoom]")) button.addEventListener("click", actions[button.dataset.zoom]);
    listenToPointer(stage, { zoom, pan, reset, split });
    listenToKeys(stage, { zoom, pan, reset, move: (by) => split(Number(choice.split.value) + by) });
    addEventListener("resize", place);
    split(50);
    update();
    return { update, show: (id, left, right) => {
      const index = group.frames.findIndex((one) => one.id === id);
      if (index < 0) return;
      choice.frame.selectedIndex = index;
      [choice.left.value, choice.right.value] = [left, right];
      update();
      box.scrollIntoView({ block: "start" });
      stage.focus({ preventScroll: true });
    } };
  }

  function listenToPointer(stage, { zoom, pan, reset, split }) {
    let dragged = null; // "divider" or "picture"
    let last = null;
    const fraction = (event) => {
      const box = stage.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 30 : 1;
      zoom(Math.exp(-0.0015 * lines * event.deltaY), ...fraction(event));
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      dragged = event.target.closest(".divider") ? "divider" : "picture";
      last = fraction(event);
      stage.setPointerCapture(event.pointerId);
      stage.classList.toggle("dragging", dragged === "picture");
    });
    stage.addEventListener("pointermove", (event) => {
      if (!dragged) return;
      const now = fraction(event);
      if (dragged === "divider") split(100 * now[0]);
      else pan(now[0] - last[0], now[1] - last[1]);
      last = now;
    });
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, () => { dragged = null; stage.classList.remove("dragging"); });
    }
    stage.addEventListener("dblclick", reset);
  }

  function listenToKeys(stage, { zoom, pan, reset, move }) {
    const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const arrow = arrows[event.key];
      if (arrow && event.shiftKey) pan(0.1 * arrow[0], 0.1 * arrow[1]);
      else if (arrow && arrow[0]) move(-2 * arrow[0]);
      else if (event.key === "+" || event.key === "=") zoom(1.5);
      else if (event.key === "-") zoom(1 / 1.5);
      else if (event.key === "0") reset();
      else return;
      event.preventDefault();
    });
  }

  document.querySelectorAll("table.results").forEach(makeSortable);
  document.querySelector("[data-choice=overview]")?.addEventListener("change", ({ target }) => {
    for (const table of document.querySelectorAll("[data-metric]")) table.hidden = table.dataset.metric !== target.value;
  });
  DATA.groups.forEach((group, number) => {
    const section = document.getElementById(`group-${number}`);
    group.metric = 0;
    drawFigures(section, group);
    differences(section, group, viewer(section, group));
  });
  document.documentElement.dataset.ready = "true";
})();
