"use strict";
// Names come from strangers: they are only ever set as text or attributes, never as markup.
(() => {
  const numbers = JSON.parse(document.getElementById("numbers").textContent);
  const runs = numbers.runs;
  const time = document.getElementById("time");
  const play = document.getElementById("play");
  const size = document.getElementById("size");
  const step = document.getElementById("step");
  const theme = document.getElementById("theme");
  const images = [...document.querySelectorAll("#images img")];
  const whole = (value) => value.toLocaleString("en");

  // A run with fewer snapshots shows the one nearest to the same share of its own way.
  const frameOf = (run, at) => {
    const last = run.frames.length - 1;
    const most = time ? Number(time.max) : 0;
    return run.frames[most ? Math.round((at / most) * last) : last];
  };

  const show = (at) => {
    const frames = runs.map((run) => frameOf(run, at));
    for (const image of images) {
      const frame = frames[image.dataset.run];
      image.src = frame.strips[image.dataset.place];
      image.alt = `${image.dataset.label}, step ${frame.step}`;
    }
    const told = frames.map((frame, i) => (runs[i].steps ? `step ${whole(frame.step)} of ${whole(runs[i].steps)}` : "no steps"));
    [...step.children].forEach((part, i) => { part.lastChild.textContent = told[i]; });
    const named = runs.length > 1 ? told.map((text, i) => `${runs[i].name}: ${text}`) : told;
    if (time) time.setAttribute("aria-valuetext", named.join(", "));
    for (const mark of document.querySelectorAll(".here")) {
      const chart = numbers.charts.find((one) => one.key === mark.closest("figure").dataset.chart);
      const line = chart.lines.find((one) => one.run === Number(mark.dataset.run));
      const point = nearest(line.points, (p) => p[0], frames[line.run].step);
      mark.setAttribute("cx", point[2]);
      mark.setAttribute("cy", point[3]);
      mark.setAttribute("visibility", "visible");
    }
  };

  const nearest = (points, of, wanted) =>
    points.reduce((best, point) => (Math.abs(of(point) - wanted) < Math.abs(of(best) - wanted) ? point : best));

  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };
  if (time) {
    time.disabled = play.disabled = false;
    time.addEventListener("input", () => { if (timer) stop(); show(Number(time.value)); });
    play.addEventListener("click", () => {
      if (timer) { stop(); return; }
      if (time.value === time.max) time.value = 0;
      show(Number(time.value));
      play.textContent = "Pause";
      play.setAttribute("aria-pressed", "true");
      timer = setInterval(() => {
        if (time.value === time.max) { stop(); return; }
        time.value = Number(time.value) + 1;
        show(Number(time.value));
      }, 450);
    });
  }

  const SIZES = [24, 42, 64, 88, 128];
  size.disabled = false;
  const resize = () => {
    const pixels = SIZES[size.value - 1];
    document.documentElement.style.setProperty("--pixel", `${pixels}px`);
    size.setAttribute("aria-valuetext", `${pixels} pixels an image`);
  };
  size.addEventListener("input", resize);

  const THEMES = ["system", "light", "dark"];
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "system";
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    document.documentElement.dataset.theme = next;
    theme.textContent = `Theme: ${next}`;
  });

  for (const chart of numbers.charts) {
    const figure = document.querySelector(`figure[data-chart="${chart.key}"]`);
    const svg = figure.querySelector("svg");
    const guide = figure.querySelector(".guide");
    const read = figure.querySelector(".read");
    const text = (value) => (chart.percent ? `${(100 * value).toFixed(1)}%` : value.toPrecision(4));
    const leave = () => {
      guide.setAttribute("visibility", "hidden");
      chart.lines.forEach((line, i) => { read.children[i].lastChild.textContent = line.label; });
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 640;
      guide.setAttribute("d", `M${Math.min(626, Math.max(62, x)).toFixed(1)} 14V240`);
      guide.setAttribute("visibility", "visible");
      chart.lines.forEach((line, i) => {
        const point = nearest(line.points, (p) => p[2], x);
        read.children[i].lastChild.textContent = `${line.label}: ${text(point[1])} at step ${whole(point[0])}`;
      });
    });
    svg.addEventListener("pointerleave", leave);
  }

  resize();
  show(time ? Number(time.value) : 0);
})();
