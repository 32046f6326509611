// Maps as pixels on a canvas: colours, the photograph below, rings, boxes and paths above.

let colours = new Uint8Array(768);
export function setColours(hex) {
  colours = Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
}

// From 0 to 1: transparent where the map is low, opaque where it is high, so that the photograph stays visible.
function painted(values, width, height, [low, high], { even = false, solid = false } = {}) {
  const image = new ImageData(width, height);
  const span = high > low ? high - low : 1;
  for (let i = 0; i < width * height; i++) {
    if (even) {
      image.data.set([128, 128, 132, solid ? 255 : 110], 4 * i);
      continue;
    }
    const t = Math.min(1, Math.max(0, (values[i] - low) / span));
    const at = 3 * Math.round(255 * t);
    image.data.set([colours[at], colours[at + 1], colours[at + 2], solid ? 255 : Math.round(95 + 135 * t)], 4 * i);
  }
  return image;
}

// Differences: orange where the edited map has more, blue where it has less.
function difference(after, before, width, height) {
  const image = new ImageData(width, height);
  let most = 1e-12;
  const delta = after.map((value, i) => value - before[i]);
  for (const value of delta) most = Math.max(most, Math.abs(value));
  delta.forEach((value, i) => {
    const colour = value > 0 ? [240, 120, 30] : [45, 120, 225];
    image.data.set([...colour, Math.round(235 * Math.min(1, Math.abs(value) / most))], 4 * i);
  });
  return { image, most };
}

const sheet = (image) => {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
};

// Draws one slice over what the network saw; returns the values at the two ends of the colours.
export function draw(canvas, photograph, slice, { before = null, mode = "after", smooth = false, opacity = 1, stretch = false } = {}) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.imageSmoothingEnabled = true;
  if (photograph) {
    context.filter = slice ? "saturate(0.35)" : "none";
    context.imageSmoothingEnabled = photograph.width >= width / 3;
    context.drawImage(photograph, 0, 0, width, height);
    context.filter = "none";
  }
  if (!slice) return null;
  const shown = mode === "before" && before ? before : slice;
  // Before and after have the same colours; stretched ones go from the smallest to the largest value.
  const own = (each) => (stretch ? [Math.min(...each.values), Math.max(...each.values)] : each.ends);
  const both = [slice, ...(before ? [before] : [])].map(own);
  const ends = [Math.min(...both.map(([low]) => low)), Math.max(...both.map(([, high]) => high))];
  const [rows, columns] = shown.shape;
  if (shown.kind === "plane") {
    let image = null;
    let told = ends;
    if (mode === "difference" && before && before.values.length === slice.values.length) {
      const found = difference(slice.values, before.values, columns, rows);
      image = found.image;
      told = [-found.most, found.most];
    } else {
      image = painted(shown.values, columns, rows, ends, { even: shown.even });
    }
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    context.drawImage(sheet(image), 0, 0, width, height);
    context.globalAlpha = 1;
    return told;
  }
  if (shown.kind === "bars") return bars(context, width, height, shown, ends, photograph, mode === "difference" ? before : null);
  if (shown.kind === "path") path(context, width, height, shown);
  if (shown.kind === "boxes") boxes(context, width, height, shown);
  if (shown.kind === "lattice") lattice(context, width, height, shown);
  return null;
}

function bars(context, width, height, shown, ends, photograph, before) {
  const count = shown.values.length;
  const [low, high] = [Math.min(0, ends[0]), Math.max(ends[1], 1e-12)];
  context.fillStyle = "rgb(16 16 20 / 0.72)";
  context.fillRect(0, 0, width, height);
  const base = height * 0.94;
  const tall = height * 0.86;
  const y = (value) => base - (tall * (value - low)) / (high - low);
  const each = (width * 0.94) / count;
  for (let i = 0; i < count; i++) {
    const t = Math.min(1, Math.max(0, (shown.values[i] - low) / (high - low)));
    const at = 3 * Math.round(95 + 160 * t);
    context.fillStyle = `rgb(${colours[at]} ${colours[at + 1]} ${colours[at + 2]})`;
    const top = Math.min(y(shown.values[i]), y(Math.max(low, 0)));
    const tallness = Math.max(1, Math.abs(y(shown.values[i]) - y(Math.max(low, 0))));
    context.fillRect(width * 0.03 + i * each, top, Math.max(each - (each > 3 ? 1 : 0), 0.6), tallness);
    if (before) {
      context.fillStyle = "rgb(255 255 255 / 0.85)";
      context.fillRect(width * 0.03 + i * each, y(before.values[i]) - 1, Math.max(each - 1, 0.6), 2);
    }
  }
  return [low, high];
}

const middle = (x, y, width, height) => [((x + 1) / 2) * width, ((y + 1) / 2) * height];

function path(context, width, height, shown) {
  const steps = shown.shape[0];
  const unit = Math.max(1, width / 320);
  const points = Array.from({ length: steps }, (_, i) => middle(shown.values[2 * i], shown.values[2 * i + 1], width, height));
  context.lineWidth = 2 * unit;
  context.strokeStyle = "rgb(255 255 255 / 0.9)";
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
  points.forEach(([x, y], i) => dot(context, x, y, 9 * unit, String(i + 1), i / Math.max(1, steps - 1)));
}

function dot(context, x, y, radius, text, t) {
  const at = 3 * Math.round(90 + 120 * t);
  context.fillStyle = `rgb(${colours[at]} ${colours[at + 1]} ${colours[at + 2]})`;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
  context.strokeStyle = "#fff";
  context.stroke();
  context.fillStyle = "#fff";
  context.font = `600 ${radius * 1.15}px system-ui`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, y + radius * 0.06);
}

function boxes(context, width, height, shown) {
  const unit = Math.max(1, width / 320);
  for (let i = 0; i < shown.shape[0]; i++) {
    const [left, top] = middle(shown.values[4 * i], shown.values[4 * i + 1], width, height);
    const [right, bottom] = middle(shown.values[4 * i + 2], shown.values[4 * i + 3], width, height);
    context.lineWidth = 3 * unit;
    context.strokeStyle = "rgb(0 0 0 / 0.5)";
    context.strokeRect(left, top, right - left, bottom - top);
    context.lineWidth = 1.6 * unit;
    context.strokeStyle = "#ffb357";
    context.strokeRect(left, top, right - left, bottom - top);
    dot(context, left, top, 8 * unit, String(i + 1), 0.5);
  }
}

function lattice(context, width, height, shown) {
  const unit = Math.max(1, width / 320);
  context.fillStyle = "#ffb357";
  for (let i = 0; i < shown.values.length / 2; i++) {
    const [x, y] = middle(shown.values[2 * i], shown.values[2 * i + 1], width, height);
    context.fillRect(x - unit, y - unit, 2 * unit, 2 * unit);
  }
}

// The ring around a query, and what is painted.
export function mark(canvas, { query = null, grid = null, tokens = 0, painted: cells = null }) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  if (cells) {
    const [rows, columns] = cells.shape;
    context.fillStyle = "rgb(10 10 14 / 0.6)";
    const wide = width / columns;
    const tall = height / rows;
    context.strokeStyle = "rgb(255 255 255 / 0.75)";
    context.lineWidth = 1;
    for (let i = 0; i < rows * columns; i++) {
      if (cells.values[i]) continue;
      const x = (i % columns) * wide;
      const y = Math.floor(i / columns) * tall;
      context.fillRect(x, y, wide + 0.5, tall + 0.5);
      context.beginPath();
      context.moveTo(x, y + tall);
      context.lineTo(x + wide, y);
      context.stroke();
    }
  }
  if (query !== null && grid && query >= tokens) {
    const [rows, columns] = grid;
    const at = query - tokens;
    const x = ((at % columns) + 0.5) * (width / columns);
    const y = (Math.floor(at / columns) + 0.5) * (height / rows);
    const radius = Math.max(7, Math.min(width / columns, height / rows) * 0.75);
    for (const [colour, wide] of [["rgb(0 0 0 / 0.55)", 5], ["#fff", 2.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

// The colours from low to high, for the legend.
export function legend(canvas, mode) {
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    const t = x / (canvas.width - 1);
    if (mode === "difference") {
      const strength = Math.abs(2 * t - 1);
      context.fillStyle = t > 0.5 ? `rgb(240 120 30 / ${strength})` : `rgb(45 120 225 / ${strength})`;
      context.clearRect(x, 0, 1, canvas.height);
    } else {
      const at = 3 * Math.round(255 * t);
      context.fillStyle = `rgb(${colours[at]} ${colours[at + 1]} ${colours[at + 2]})`;
    }
    context.fillRect(x, 0, 1, canvas.height);
  }
}
