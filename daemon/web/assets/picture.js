// A radiograph at full depth: its values, and how a part of it becomes greys on a screen.

/** Halving stops when the smaller picture would have fewer pixels on its longer side. */
const SMALLEST = 400;

export class Picture {
  /** Reads what the server's image address answers with; see image.go. */
  static decode(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const curveAt = 4 + length, pixelsAt = curveAt + head.curve + (head.curve % 2);
    const curve = new Uint8Array(buffer, curveAt, head.curve);
    const pixels = new Uint16Array(buffer, pixelsAt, head.rows * head.columns);
    return new Picture(head, curve, pixels);
  }

  constructor(head, curve, pixels) {
    Object.assign(this, head);
    this.curve = curve;
    this.levels = [{ columns: head.columns, rows: head.rows, pixels }];
    while (Math.max(this.last().columns, this.last().rows) > 2 * SMALLEST) this.levels.push(halve(this.last()));
    this.reset();
  }

  last() { return this.levels[this.levels.length - 1]; }

  /** Shows the picture as its object asks for. */
  reset() { this.window = null; this.flipped = false; this.greys = null; }

  /** The window in modality values: the reader's own or where the object's curve rises. */
  bounds() { return this.window ?? { low: this.low, high: this.high }; }

  setWindow(center, width) {
    width = Math.max(width, Math.abs(this.slope));
    this.window = { low: center - width / 2, high: center + width / 2 };
    this.greys = null;
  }

  invert() { this.flipped = !this.flipped; this.greys = null; }

  /** The grey of each value as a pixel of a canvas. */
  table() {
    if (this.greys) return this.greys;
    const greys = new Uint32Array(this.curve.length);
    const inverted = this.inverted !== this.flipped;
    for (let i = 0; i < greys.length; i++) {
      let grey = this.curve[i];
      if (this.window) {
        const value = this.intercept + this.slope * i;
        grey = Math.round(255 * Math.min(1, Math.max(0, (value - this.window.low) / (this.window.high - this.window.low))));
      }
      if (inverted) grey = 255 - grey;
      greys[i] = 0xff000000 | (grey * 0x010101);
    }
    return (this.greys = greys);
  }

  /**
   * Draws what a view shows: scale is screen pixels per image pixel, (x, y) the image point in the canvas's top left corner. The level
   * is taken that is next above the screen's resolution, so that nothing is left out and nothing is drawn for nothing.
   */
  draw(context, scale, x, y) {
    const { width, height } = context.canvas;
    let number = 0;
    while (number + 1 < this.levels.length && scale * 2 ** (number + 1) <= 1) number++;
    const level = this.levels[number], factor = 2 ** number;
    const left = Math.max(0, Math.floor(x / factor)), top = Math.max(0, Math.floor(y / factor));
    const right = Math.min(level.columns, Math.ceil((x + width / scale) / factor) + 1);
    const bottom = Math.min(level.rows, Math.ceil((y + height / scale) / factor) + 1);
    if (right <= left || bottom <= top) return;
    const image = new ImageData(right - left, bottom - top), out = new Uint32Array(image.data.buffer), greys = this.table();
    for (let row = top, at = 0; row < bottom; row++) {
      const begin = row * level.columns;
      for (let i = begin + left; i < begin + right; i++) out[at++] = greys[level.pixels[i]];
    }
    this.part ??= new OffscreenCanvas(1, 1);
    this.part.width = image.width;
    this.part.height = image.height;
    this.part.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = scale !== 1;
    context.imageSmoothingQuality = "high";
    const screen = scale * factor;
    context.drawImage(this.part, (left * factor - x) * scale, (top * factor - y) * scale, image.width * screen, image.height * screen);
  }
}

/** Half the size, each pixel the mean of four. */
function halve({ columns, rows, pixels }) {
  const width = columns >> 1, height = rows >> 1, out = new Uint16Array(width * height);
  for (let v = 0, at = 0; v < height; v++) {
    const above = 2 * v * columns, below = above + columns;
    for (let u = 0; u < width; u++) {
      const i = 2 * u;
      out[at++] = (pixels[above + i] + pixels[above + i + 1] + pixels[below + i] + pixels[below + i + 1] + 2) >> 2;
    }
  }
  return { columns: width, rows: height, pixels: out };
}

/** A heat map as a picture with an alpha: what is below a third stays clear; blue through yellow to red as in the delivered picture. */
export function heatPicture(map) {
  const side = 112, canvas = new OffscreenCanvas(side, side), image = new ImageData(side, side);
  const at = (x, y) => map.values[Math.min(Math.max(y, 0), map.size - 1) * map.size + Math.min(Math.max(x, 0), map.size - 1)];
  for (let v = 0; v < side; v++) {
    for (let u = 0; u < side; u++) {
      const x = ((u + 0.5) / side) * map.size - 0.5, y = ((v + 0.5) / side) * map.size - 0.5;
      const x0 = Math.floor(x), y0 = Math.floor(y), dx = x - x0, dy = y - y0;
      const value = (at(x0, y0) * (1 - dx) + at(x0 + 1, y0) * dx) * (1 - dy) + (at(x0, y0 + 1) * (1 - dx) + at(x0 + 1, y0 + 1) * dx) * dy;
      const t = Math.min(Math.max((value - 0.33) / 0.67, 0), 1);
      image.data.set([255 * Math.min(1, 2 * t), 255 * (1 - Math.abs(2 * t - 1)), 255 * Math.max(0, 1 - 2 * t), 255 * t], 4 * (v * side + u));
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
