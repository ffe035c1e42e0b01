// Lays an anomaly map over its image, as `overlay` in runtime.py does.

import { placed } from "./prepare.js";
import { resize } from "./resize.js";

const STEPS = 1024; // of the colour table

/**
 * Draws an image with and without its anomaly map. Regions above the model's pixel threshold, if
 * there is one, are outlined.
 *
 * @param {{width: number, height: number, rgba: Uint8Array}} image decoded.
 * @param {Float32Array} heat [h, w], the model's anomaly map.
 * @param {object} model the contents of model.json.
 * @param {number} longest the longest side of the result, in pixels; no image is enlarged.
 * @returns {{picture: ImageData, overlay: ImageData}}
 */
export function draw(image, heat, model, longest) {
  const scale = Math.min(1, longest / Math.max(image.width, image.height));
  const size = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const { rgba, ...coarse } = thinned(image, Math.floor(0.5 / scale));
  const pixels = new Uint8ClampedArray(resize(rgba, [coarse.width, coarse.height], size, 4));
  const [high, wide] = model.image_shape;
  const area = placed([image.width, image.height], [wide, high], model.resize);
  const inner = crop(heat, wide, area);
  const drawn = colour(pixels, resize(inner, area.slice(2), size, 1), model);
  if (typeof model.pixel_threshold === "number") {
    outline(drawn, stretch(inner, area.slice(2), size), size, model);
  }
  return {
    picture: new ImageData(pixels, ...size),
    overlay: new ImageData(drawn, ...size),
  };
}

/** A map at another size, each value that of the nearest place. */
function stretch(heat, [wide, high], [width, height]) {
  const stretched = new Float32Array(width * height);
  for (let y = 0, to = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * high) / height) * wide;
    for (let x = 0; x < width; x++, to++) {
      stretched[to] = heat[row + Math.floor(((x + 0.5) * wide) / width)];
    }
  }
  return stretched;
}

/** Colours the marked pixels that lie near the edge of their region or of the image, in place. */
function outline(rgba, heat, [width, height], model) {
  const isMarked = (x, y) =>
    x >= 0 && y >= 0 && x < width && y < height && heat[y * width + x] > model.pixel_threshold;
  const near = Math.max(1, Math.floor(Math.min(width, height) / model.outline_share));
  const steps = [-near, 0, near];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!isMarked(x, y)) continue;
      const isInner = steps.every((down) => steps.every((along) => isMarked(x + along, y + down)));
      if (!isInner) rgba.set(model.outline_colour, 4 * (y * width + x));
    }
  }
}

/** Every `step`-th pixel in each direction: thumbnails of large photos need no more. */
function thinned(image, step) {
  if (step < 2) return image;
  const [width, height] = [Math.ceil(image.width / step), Math.ceil(image.height / step)];
  const rgba = new Uint8Array(width * height * 4);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 4) {
      const from = (y * image.width + x) * step * 4;
      rgba.set(image.rgba.subarray(from, from + 4), to);
    }
  }
  return { width, height, rgba };
}

/** The part of a map in which the image lies; the rest is margin. */
function crop(heat, stride, [left, top, width, height]) {
  const part = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = (top + y) * stride + left;
    part.set(heat.subarray(start, start + width), y * width);
  }
  return part;
}

function colour(rgba, heat, model) {
  const [low, high] = model.map_colour_range;
  const table = colourTable(model.heat_colours);
  const drawn = new Uint8ClampedArray(rgba.length); // rounds to the nearest
  for (let i = 0, at = 0; i < heat.length; i++, at += 4) {
    const warmth = Math.min(Math.max((heat[i] - low) / (high - low), 0), 1);
    const opacity = 0.85 * Math.sqrt(warmth);
    // Grey underneath, so that the image's own colours are not taken for heat.
    const grey = (rgba[at] + rgba[at + 1] + rgba[at + 2]) / 3;
    const from = 3 * Math.round(warmth * STEPS);
    for (let c = 0; c < 3; c++) {
      drawn[at + c] = grey * (1 - opacity) + table[from + c] * opacity;
    }
    drawn[at + 3] = 255;
  }
  return drawn;
}

/** Colours at STEPS + 1 places between the anchors. */
function colourTable(anchors) {
  const table = new Float32Array(3 * (STEPS + 1));
  for (let step = 0; step <= STEPS; step++) {
    const place = (step / STEPS) * (anchors.length - 1);
    const below = Math.min(Math.floor(place), anchors.length - 2);
    for (let c = 0; c < 3; c++) {
      const [from, to] = [anchors[below][c], anchors[below + 1][c]];
      table[3 * step + c] = from + (to - from) * (place - below);
    }
  }
  return table;
}
