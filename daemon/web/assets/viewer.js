// The views of a study: window, zoom and move, the heat map and regions of what is lit.
import { $, $$, typing } from "./common.js";
import { Picture, heatPicture } from "./picture.js";
import { lights } from "./lights.js";

const INPUT = 224; // side of the classifier's square

class View {
  constructor(figure, data, maps, viewer) {
    this.figure = figure;
    this.data = data;
    this.viewer = viewer;
    this.maps = maps.filter((map) => map.view === data.view);
    this.canvas = $("canvas", figure);
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.heats = new Map();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(figure);
  }

  async load(address) {
    const state = $(".state", this.figure);
    try {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(await answer.text());
      this.picture = Picture.decode(await answer.arrayBuffer());
      state.textContent = "";
      this.figure.title = this.picture.steps.join("; ");
    } catch (error) {
      state.textContent = "cannot be shown: " + error.message;
    }
    this.resize();
    this.figure.dataset.loaded = "";
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio)), height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    const fitted = this.scale === undefined || this.scale === this.fitting;
    const column = this.x + this.canvas.width / this.scale / 2, row = this.y + this.canvas.height / this.scale / 2; // in the middle, where they stay
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    if (fitted) this.fit(); else this.center(column, row);
  }

  fit() {
    if (!this.picture) return;
    const { width, height } = this.canvas;
    this.scale = this.fitting = Math.min(width / this.picture.columns, height / this.picture.rows);
    this.center(this.picture.columns / 2, this.picture.rows / 2);
  }

  /** Puts an image point into the middle. */
  center(column, row) {
    this.x = column - this.canvas.width / this.scale / 2;
    this.y = row - this.canvas.height / this.scale / 2;
    this.draw();
  }

  zoom(scale, px = this.canvas.width / 2, py = this.canvas.height / 2) {
    if (!this.picture) return;
    const column = this.x + px / this.scale, row = this.y + py / this.scale;
    this.scale = Math.min(16, Math.max(this.fitting / 2, scale));
    this.x = column - px / this.scale;
    this.y = row - py / this.scale;
    this.draw();
  }

  move(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.draw();
  }

  /** Changes the window by shares of its width. */
  rewindow(wider, brighter) {
    if (!this.picture) return;
    const { low, high } = this.picture.bounds(), width = high - low;
    this.picture.setWindow((low + high) / 2 - brighter * width, width * (1 + wider));
    this.draw();
  }

  draw() {
    if (!this.picture || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const { context, picture } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    picture.draw(context, this.scale, this.x, this.y);
    this.paintHeat();
    for (const map of this.maps) this.paintRegion(map);
    const { low, high } = picture.bounds();
    const digits = Math.abs(high - low) < 10 ? 3 : 0;
    $(".overlay", this.figure).textContent =
      `L ${((low + high) / 2).toFixed(digits)} W ${(high - low).toFixed(digits)}${picture.flipped ? " inverted" : ""} · ${(this.scale * 100).toFixed(0)} %`;
  }

  /** The map to show: of what is lit, else of what is pinned, else of this view's strongest present finding. */
  shown() {
    const of = (finding) => this.maps.find((map) => map.finding === finding);
    if (lights.lit.size > 0) return [...lights.lit].map(of).find((map) => map);
    return of(lights.pinned ?? this.viewer.strongest);
  }

  paintHeat() {
    const map = this.shown(), g = this.data.geometry, on = this.viewer.heat && map && g;
    $(".map", this.figure).textContent = on ? `heat map: ${this.viewer.names.get(map.finding)}${map.present ? "" : ", not present"}` : "";
    if (!on) return;
    if (!this.heats.has(map.finding)) this.heats.set(map.finding, heatPicture(map));
    this.context.globalAlpha = this.viewer.opacity * (map.present ? 1 : 0.5);
    this.context.imageSmoothingEnabled = true;
    const side = INPUT * g.scale * this.scale;
    this.context.drawImage(this.heats.get(map.finding), (g.x - this.x) * this.scale, (g.y - this.y) * this.scale, side, side);
    this.context.globalAlpha = 1;
  }

  paintRegion(map) {
    const lit = lights.lit.has(map.finding) || lights.pinned === map.finding;
    if (!map.region || !(map.present || lit)) return;
    const { Left, Top, Right, Bottom } = map.region, ratio = devicePixelRatio || 1, c = this.context;
    const x = (Left - this.x) * this.scale, y = (Top - this.y) * this.scale;
    c.lineWidth = (lit ? 2.5 : 1) * ratio;
    c.strokeStyle = lit ? "#ffc66b" : "rgba(255, 198, 107, .45)";
    c.setLineDash(map.present ? [] : [6 * ratio, 4 * ratio]);
    c.strokeRect(x, y, (Right - Left) * this.scale, (Bottom - Top) * this.scale);
    c.setLineDash([]);
    if (!lit) return;
    const label = this.viewer.names.get(map.finding) ?? map.finding;
    c.font = `600 ${13 * ratio}px Inter, system-ui, sans-serif`;
    const wide = c.measureText(label).width + 10 * ratio, high = 18 * ratio; // within the canvas, however little of the region is
    const left = Math.max(0, Math.min(x - c.lineWidth / 2, this.canvas.width - wide)), top = Math.max(0, Math.min(y - high, this.canvas.height - high));
    c.fillStyle = "#ffc66b";
    c.fillRect(left, top, wide, high);
    c.fillStyle = "#1b1300";
    c.fillText(label, left + 5 * ratio, top + 13 * ratio);
  }

  /** The present finding whose region lies under a canvas point, the smallest first. */
  under(px, py) {
    const column = this.x + px / this.scale, row = this.y + py / this.scale;
    const area = ({ region }) => (region.Right - region.Left) * (region.Bottom - region.Top);
    const hit = this.maps.filter(({ region, present }) => present && region && column >= region.Left && column <= region.Right && row >= region.Top && row <= region.Bottom);
    return hit.sort((a, b) => area(a) - area(b))[0]?.finding;
  }

  listen() {
    const { canvas } = this, ratio = () => devicePixelRatio || 1;
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = { x: event.clientX, y: event.clientY, moves: event.button !== 0 || event.shiftKey };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.picture) return;
      if (!last) {
        const finding = this.under(event.offsetX * ratio(), event.offsetY * ratio());
        lights.set(finding ? [finding] : []);
        return;
      }
      const dx = event.clientX - last.x, dy = event.clientY - last.y;
      last = { ...last, x: event.clientX, y: event.clientY };
      if (last.moves) this.move(dx * ratio(), dy * ratio());
      else this.rewindow(dx / 300, -dy / 300);
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
    canvas.addEventListener("pointerleave", () => { if (!last) lights.set([]); });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(this.scale * Math.exp(-event.deltaY / 500), event.offsetX * ratio(), event.offsetY * ratio());
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.viewer.alone(this));
    canvas.addEventListener("focus", () => { this.viewer.current = this; });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 40, way = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (way && event.shiftKey) this.rewindow(-way[0] * 0.05, way[1] * 0.05);
    else if (way) this.move(way[0] * step, way[1] * step);
    else if (event.key === "+" || event.key === "=") this.zoom(this.scale * 1.25);
    else if (event.key === "-") this.zoom(this.scale / 1.25);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

export class Viewer {
  constructor(data) {
    this.heat = true;
    this.opacity = 0.45;
    this.names = new Map(data.phrases.map((p) => [p.finding, p.name]));
    this.strongest = strongest();
    this.views = $$(".view").map((figure, i) => new View(figure, data.views[i], data.maps, this));
    this.current = this.views[0];
    lights.on(() => this.draw());
    this.loaded = Promise.all(this.views.map((view) => view.load(`/studies/${data.uid}/images/${view.data.sop}`)));
    for (const button of $$("[data-tool]")) button.addEventListener("click", () => this.tool(button.dataset.tool));
    $("#opacity")?.addEventListener("input", (event) => { this.opacity = event.target.value / 100; this.draw(); });
    addEventListener("keydown", (event) => this.key(event));
  }

  draw() { for (const view of this.views) view.draw(); }

  tool(name) {
    if (name === "heat") this.heat = !this.heat;
    if (name === "alone") this.alone(this.current);
    for (const view of this.views) {
      if (!view.picture) continue;
      if (name === "reset") { view.picture.reset(); view.fit(); }
      if (name === "fit") view.fit();
      if (name === "one") view.zoom(1);
      if (name === "invert") view.picture.invert();
    }
    this.press("heat", this.heat);
    this.press("invert", this.views.some((view) => view.picture?.flipped));
    this.draw();
  }

  press(name, on) { $(`[data-tool=${name}]`)?.setAttribute("aria-pressed", on); }

  /** Shows one view large, or both again. */
  alone(view) {
    const on = $("#views").classList.toggle("alone");
    for (const other of this.views) other.figure.classList.toggle("large", other === view);
    this.press("alone", on);
  }

  key(event) {
    if (typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    const tool = { h: "heat", i: "invert", v: "alone", f: "fit", 1: "one", 0: "reset" }[event.key.toLowerCase()];
    if (tool && $(`[data-tool=${tool}]`)) this.tool(tool);
    const slider = $("#opacity");
    if (slider && (event.key === "[" || event.key === "]")) {
      slider.value = Number(slider.value) + (event.key === "]" ? 10 : -10);
      slider.dispatchEvent(new Event("input"));
    }
  }
}

/** The finding whose map is shown first: a critical one that is present, else the present one with the highest score. */
function strongest() {
  const highest = (row) => Math.max(...$$(".value", row).map((value) => Number(value.lastChild.textContent) || 0));
  const rows = $$(".row.present").sort((a, b) => b.matches(".critical") - a.matches(".critical") || highest(b) - highest(a));
  return rows[0]?.dataset.finding;
}
