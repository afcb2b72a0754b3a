"use strict";
// Glue between the page's controls and plotly: no drawing of its own.
(function () {
  const CONFIG = { responsive: true, displaylogo: false, displayModeBar: "hover", plotlyServerURL: "",
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d"] };
  const FONT = { family: "system-ui, sans-serif", size: 13, color: "#1c2330" };
  const DIFFERENCE_FROM_GY = 0.5;
  const PANEL_GAP = 0.03;
  const byId = (id) => document.getElementById(id);
  const read = (element) => JSON.parse(element.textContent);

  function drawCharts() {
    for (const [id, chart] of Object.entries(read(byId("charts")))) {
      Plotly.newPlot(id, chart.data, chart.layout, CONFIG);
    }
  }

  // ---- a case's volumes: from text to bytes, the other half of viewer.py
  async function unpack(volume) {
    const packed = Uint8Array.from(atob(volume.data), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    return { shape: volume.shape, low: volume.low, step: volume.step, levels: volume.levels, bytes };
  }

  async function unpackContour(contour) {
    const [dose, labels] = await Promise.all([unpack(contour.dose), unpack(contour.labels)]);
    return { dose, labels };
  }

  async function unpackAll(volumes, unpackOne) {
    const entries = Object.entries(volumes).map(async ([name, one]) => [name, await unpackOne(one)]);
    return Object.fromEntries(await Promise.all(entries));
  }

  async function unpackCase(content) {
    const images = content.images;
    return {
      ...images,
      dvh: content.dvh,
      runs: content.runs,
      backgrounds: await unpackAll(images.backgrounds, unpack),
      oars: await unpack(images.oars),
      reference: await unpackContour(images.reference),
      evaluated: await unpackAll(images.evaluated, unpackContour),
    };
  }

  // ---- one slice as rows of numbers
  function rows(volume, z, valueOf) {
    const [, ny, nx] = volume.shape;
    const start = z * ny * nx;
    return Array.from({ length: ny }, (_, y) =>
      Float32Array.from(volume.bytes.subarray(start + y * nx, start + (y + 1) * nx), valueOf));
  }

  const values = (volume, z) => rows(volume, z, (byte) => volume.low + volume.step * byte);

  function mask(volume, z, labels) {
    const inside = rows(volume, z, (byte) => (labels.includes(byte) ? 1 : 0));
    return inside.some((row) => row.includes(1)) ? inside : null;
  }

  const combine = (a, b, valueOf) => a.map((row, y) => row.map((value, x) => valueOf(value, b[y][x])));

  // ---- the explorer
  const settings = byId("explorer-data") ? read(byId("explorer-data")) : null;
  const sources = Array.from(document.querySelectorAll("script.case-data"));
  let shown = null;

  const checked = (index) => document.querySelectorAll("input.structure")[index].checked;
  const trainer = () => byId("trainer").value;

  async function showCase() {
    const wanted = byId("case").value;
    const unpacked = await unpackCase(read(sources[wanted]));
    if (byId("case").value !== wanted) return; // another one was chosen meanwhile
    shown = unpacked;
    byId("slice").max = shown.slices.length - 1;
    byId("slice").value = shown.start;
    const titles = Object.keys(shown.backgrounds);
    const kept = titles.includes(byId("background").value) ? byId("background").value : titles[0];
    byId("background").replaceChildren(...titles.map((title) => new Option(title, title, false, title === kept)));
    const there = shown.dvh.structures.map((one) => one.name);
    document.querySelectorAll("input.structure").forEach((box, i) => {
      const absent = !there.includes(settings.structures[i].name);
      box.closest("label").classList.toggle("absent", absent);
      box.closest("label").title = absent ? "not in this case" : "";
    });
    drawAll();
  }

  function drawAll() {
    drawSlice();
    drawDvh();
  }

  function heatmap(panel, z, options) {
    const [x0, dx] = shown.x_mm, [y0, dy] = shown.y_mm;
    const suffix = panel ? String(panel + 1) : "";
    return { type: "heatmap", z, x0, dx, y0, dy, xaxis: "x" + suffix, yaxis: "y" + suffix,
      showscale: false, hoverinfo: "skip", zsmooth: "fast", ...options };
  }

  function backgroundTrace(panel, z) {
    const volume = shown.backgrounds[byId("background").value];
    return heatmap(panel, values(volume, z), { colorscale: [[0, "black"], [1, "white"]],
      zmin: volume.low, zmax: volume.low + volume.levels * volume.step });
  }

  function washTrace(panel, dose, options) {
    return heatmap(panel, dose, { hoverinfo: "all", hoverongaps: false, opacity: byId("opacity").value / 100, ...options });
  }

  const colourBar = (title, x, length) => ({ orientation: "h", thickness: 12, len: length, x, xanchor: "center",
    y: 0.005, yref: "container", yanchor: "bottom", title: { text: title, side: "bottom" } });

  function doseTraces(z, contour) {
    const from = Number(byId("dose-from").value);
    const cut = (value) => (value < from ? NaN : value);
    const reference = values(shown.reference.dose, z);
    const look = { zmin: 0, zmax: settings.dose_top_gy, colorscale: settings.dose_colours, hovertemplate: "%{z:.1f} Gy<extra></extra>" };
    const traces = [washTrace(0, reference.map((row) => row.map(cut)),
      { ...look, showscale: true, colorbar: colourBar("Dose [Gy]", 0.33, 0.4) })];
    if (!contour) return traces;
    const evaluated = values(contour.dose, z);
    const difference = combine(evaluated, reference, (a, b) => (Math.abs(a - b) < DIFFERENCE_FROM_GY ? NaN : a - b));
    traces.push(washTrace(1, evaluated.map((row) => row.map(cut)), look));
    traces.push(washTrace(2, difference, { zmin: -settings.difference_gy, zmax: settings.difference_gy,
      colorscale: settings.difference_colours, hovertemplate: "%{z:+.1f} Gy<extra></extra>", showscale: true,
      colorbar: colourBar("Difference [Gy]", 0.84, 0.27) }));
    return traces;
  }

  function contourTrace(panel, inside, style, dashed) {
    return { ...heatmap(panel, inside), type: "contour", zsmooth: undefined, autocontour: false,
      contours: { start: 0.5, end: 0.5, size: 1, coloring: "none" },
      line: { color: style.colour, width: style.kind === "target" ? 2.5 : 1.5, dash: dashed ? "dash" : "solid", smoothing: 0 } };
  }

  function contourTraces(z, contour) {
    const traces = [];
    settings.structures.forEach((style, index) => {
      if (!checked(index)) return;
      const target = style.kind === "target";
      const labels = target ? settings.target_labels[style.name] : [settings.oar_labels[style.name]];
      const reference = mask(target ? shown.reference.labels : shown.oars, z, labels);
      const evaluated = target && contour ? mask(contour.labels, z, labels) : null;
      for (const panel of [0, 1, 2]) {
        if (reference) traces.push(contourTrace(panel, reference, style, false));
        if (evaluated && panel) traces.push(contourTrace(panel, evaluated, style, true));
      }
    });
    return traces;
  }

  function sliceLayout(titles) {
    const [, ny, nx] = shown.reference.dose.shape;
    const [x0, dx] = shown.x_mm, [y0, dy] = shown.y_mm;
    const width = (1 - 2 * PANEL_GAP) / 3;
    const pixels = width * (byId("viewer").clientWidth - 80);
    const narrow = pixels < 170;
    const layout = { font: FONT, margin: { l: 70, r: 20, t: 55, b: 110 }, height: 165 + Math.min(620, (pixels * ny * dy) / (nx * dx)),
      plot_bgcolor: "black", showlegend: false, uirevision: shown.case, annotations: [], hovermode: "closest" };
    titles.forEach((text, i) => {
      const suffix = i ? String(i + 1) : "";
      const start = i * (width + PANEL_GAP);
      layout["xaxis" + suffix] = { domain: [start, start + width], anchor: "y" + suffix, range: [x0 - dx / 2, x0 + (nx - 0.5) * dx],
        ticksuffix: " mm", nticks: narrow ? 3 : 5, tickangle: 0, showgrid: false, zeroline: false, constrain: "domain", ...(i ? { matches: "x" } : {}) };
      layout["yaxis" + suffix] = { anchor: "x" + suffix, range: [y0 + (ny - 0.5) * dy, y0 - dy / 2], scaleanchor: "x" + suffix,
        showgrid: false, zeroline: false, constrain: "domain", ...(i ? { matches: "y", showticklabels: false, ticks: "" } : { ticksuffix: " mm" }) };
      layout.annotations.push({ text, x: start + width / 2, y: 1.005, xref: "paper", yref: "paper", xanchor: "center",
        yanchor: "bottom", showarrow: false, font: { size: narrow ? 9 : 13 } });
    });
    return layout;
  }

  function drawSlice() {
    const z = Number(byId("slice").value);
    const contour = shown.evaluated[trainer()];
    const text = `number ${shown.slices[z]}, z = ${(shown.slices[z] * shown.slice_mm).toFixed(1)} mm (${z + 1} of ${shown.slices.length})`;
    byId("slice-text").value = text;
    byId("slice").setAttribute("aria-valuetext", text);
    const traces = [0, 1, 2].map((panel) => backgroundTrace(panel, z));
    if (byId("show-dose").checked) traces.push(...doseTraces(z, contour));
    if (byId("show-contours").checked) traces.push(...contourTraces(z, contour));
    const run = shown.runs[trainer()];
    const evaluated = contour ? "Evaluated dose" + (run ? `, ${run}` : "") : "no evaluated dose";
    const titles = ["Reference dose", evaluated, "Evaluated − reference"];
    Plotly.react("viewer", traces, sliceLayout(titles), CONFIG);
  }

  function dvhTrace(style, name, volumes, dashed) {
    const doses = shown.dvh.doses_gy;
    return { type: "scatter", mode: style.marker ? "lines+markers" : "lines", name: `${style.name}, ${name}`, x: doses, y: volumes,
      line: { color: style.colour, width: style.kind === "target" ? 3 : 1.8, dash: dashed ? "dash" : "solid" },
      marker: { symbol: style.marker || "circle", maxdisplayed: 9, size: 7 },
      hovertemplate: "%{y:.1f} % get at least %{x:.1f} Gy" };
  }

  function drawDvh() {
    const traces = [];
    for (const curves of shown.dvh.structures) {
      const index = settings.structures.findIndex((one) => one.name === curves.name);
      if (!checked(index)) continue;
      const style = settings.structures[index];
      traces.push(dvhTrace(style, "reference", curves.reference, false));
      const evaluated = curves.evaluated[trainer()];
      if (evaluated) traces.push(dvhTrace(style, "evaluated", evaluated, true));
    }
    const axis = (text) => ({ title: { text }, gridcolor: "#e3e7ed", zeroline: false, rangemode: "tozero" });
    const layout = { font: FONT, height: 460, margin: { l: 65, r: 20, t: 30, b: 60 }, showlegend: false, hovermode: "closest",
      uirevision: shown.case, xaxis: axis("Dose [Gy]"), yaxis: { ...axis("Volume [%]"), range: [0, 102] } };
    Plotly.react("dvh", traces, layout, CONFIG);
  }

  // sliders fire faster than slices can be drawn: the last one counts
  function once(draw) {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(); });
    };
  }

  function choose(which) {
    document.querySelectorAll("input.structure").forEach((box, i) => { box.checked = which(settings.structures[i]); });
    drawAll();
  }

  function startExplorer() {
    if (!sources.length) return;
    if (typeof DecompressionStream === "undefined") {
      byId("message").textContent = "This browser is too old for the slice viewer and the DVHs; the pictures for print are shown instead.";
      byId("message").hidden = false;
      byId("explorer-controls").hidden = true;
      document.querySelectorAll("#explorer .static").forEach((one) => { one.style.display = "block"; });
      return;
    }
    const slice = once(drawSlice);
    byId("case").addEventListener("change", showCase);
    byId("trainer").addEventListener("change", drawAll);
    for (const id of ["slice", "opacity", "dose-from"]) byId(id).addEventListener("input", slice);
    for (const id of ["background", "show-dose", "show-contours"]) byId(id).addEventListener("change", slice);
    for (const box of document.querySelectorAll("input.structure")) box.addEventListener("change", drawAll);
    byId("all-structures").addEventListener("click", () => choose(() => true));
    byId("targets-only").addEventListener("click", () => choose((style) => style.kind === "target"));
    byId("to-difference").addEventListener("click", () => { byId("slice").value = shown.start; drawSlice(); });
    showCase();
  }

  drawCharts();
  startExplorer();
})();
