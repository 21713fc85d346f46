// Draws charts from tables: figure[data-chart] names the table, whose first column is the time.
// The table stays for those who cannot see the chart, and for pages without scripts.
(() => {
  "use strict";
  document.documentElement.dataset.charts = ""; // the stylesheet shows their places
  const HEIGHT = 150;
  const COLORS = ["--accent", "--warn", "--bad"]; // of a chart's lines, in the order of its columns
  const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
  const drawn = new Map(); // by the figure's id: a part that is replaced keeps its chart

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const resolved = (name) => {
    const probe = document.createElement("i");
    probe.style.color = color(name);
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const SPARSE = 20; // values that are also drawn as points, because a line needs two
  // The value under the pointer; without one, the latest.
  const shown = (chart, series, index) => {
    const values = chart.data[series];
    if (index !== null && index !== undefined) return values[index];
    return values.findLast((value) => value !== null);
  };
  const grouped = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-US"));
  const short = (value) => (value < 100_000 ? grouped(value) : COMPACT.format(value));
  const isSparse = (chart, series) => chart.data[series].filter((value) => value !== null).length < SPARSE;

  // A cell has its number in data-value; one without has a gap.
  function numbers(table, columns) {
    const rows = [...table.tBodies[0].rows];
    const numberOf = (cell) => (cell.dataset.value ? Number(cell.dataset.value) : null);
    return [0, ...columns].map((column) => rows.map((row) => numberOf(row.cells[column])));
  }

  function headings(table, columns) {
    const cells = table.tHead.rows[0].cells;
    return columns.map((column) => cells[column].dataset.label || cells[column].textContent);
  }

  // How the table's times are written: at the pointer, and below the axis. A day is the calendar's, so its
  // place in a chart is its midnight in UTC.
  function clock(table) {
    const isDay = table.dataset.unit === "day";
    const form = (options) => {
      const format = new Intl.DateTimeFormat("en-GB", { timeZone: isDay ? "UTC" : table.dataset.zone, ...options });
      return (seconds) => format.format(new Date(seconds * 1000));
    };
    if (isDay) return [form({ weekday: "short", day: "numeric", month: "short" }), form({ day: "numeric", month: "short" })];
    return [form({ hour: "2-digit", minute: "2-digit", second: "2-digit" }), form({ hour: "2-digit", minute: "2-digit" })];
  }

  function options(figure, table, columns, width) {
    const bars = figure.dataset.kind === "bars";
    const [at, below] = clock(table);
    const axis = { stroke: resolved("--quiet"), font: "11px system-ui, sans-serif", gap: 4, ticks: { show: false } };
    const grid = { stroke: resolved("--line"), width: 1 };
    const names = headings(table, columns);
    return {
      width, height: HEIGHT,
      padding: [8, 8, 0, 0],
      cursor: { y: false, points: { size: 6 } },
      legend: { live: true },
      scales: { y: { range: (chart, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, size: 24, space: 70, values: (chart, ticks) => ticks.map(below) },
        { ...axis, grid, size: 52, space: 34, values: (chart, ticks) => ticks.map(short) },
      ],
      series: [
        { label: "at", value: (chart, value, series, index) => at(shown(chart, 0, index)) },
        ...columns.map((column, index) => ({
          label: names[index],
          stroke: resolved(COLORS[index]),
          fill: columns.length === 1 && !bars ? resolved("--wait-paper") : undefined,
          width: 1.5,
          points: { show: isSparse, size: 4 },
          spanGaps: figure.dataset.gaps !== "shown",
          paths: bars ? uPlot.paths.bars({ size: [0.8, 40] }) : undefined,
          value: (chart, value, series, index) => grouped(shown(chart, series, index)),
        })),
      ],
    };
  }

  function draw(figure) {
    const table = document.getElementById(figure.dataset.chart);
    if (!table) return;
    const columns = figure.dataset.columns.split(" ").map(Number);
    const data = numbers(table, columns);
    const kept = drawn.get(figure.id);
    if (kept) {
      kept.setData(data);
      if (kept.root.parentElement !== figure) figure.append(kept.root);
      return;
    }
    const width = Math.max(figure.clientWidth - 2, 120);
    drawn.set(figure.id, new uPlot(options(figure, table, columns, width), data, figure));
    // The table says the same to a screen reader.
    figure.querySelector(".uplot").setAttribute("aria-hidden", "true");
  }

  function drawAll() {
    for (const figure of document.querySelectorAll("figure[data-chart]")) draw(figure);
  }

  function drawAnew() {
    for (const chart of drawn.values()) chart.destroy();
    drawn.clear();
    drawAll();
  }

  document.addEventListener("console:part", drawAll);
  window.addEventListener("resize", () => {
    for (const figure of document.querySelectorAll("figure[data-chart]")) {
      const chart = drawn.get(figure.id);
      if (chart) chart.setSize({ width: Math.max(figure.clientWidth - 2, 120), height: HEIGHT });
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);
  drawAll();
})();
