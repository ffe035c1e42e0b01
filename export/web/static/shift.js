// Warns if images differ from the normal training images, by the same rule as runtime.py.

import { resize } from "./resize.js";

const SAMPLE = 32; // pixels to each side, to which an image is averaged for its saturation

/**
 * Statistics of one image; see `measure_pixels` and `measure_file` in runtime.py.
 *
 * @param {Uint8Array} pixels [h, w, C], as the model gets them.
 * @param {number[]} shape [h, w, C].
 * @param {{width: number, height: number, rgba: Uint8Array}} image of `decode` in prepare.js.
 * @returns {Object<string, number>} by name.
 */
export function measure(pixels, [height, width, channels], image) {
  const grey = new Float64Array(width * height);
  const sums = [0, 0, 0];
  for (let i = 0; i < pixels.length; i++) {
    sums[i % channels] += pixels[i];
    grey[Math.floor(i / channels)] += pixels[i] / channels;
  }
  const brightness = mean(grey);
  const contrast = Math.sqrt(grey.reduce((sum, v) => sum + (v - brightness) ** 2, 0) / grey.length);
  let energy = 0;
  for (let i = 0; i < grey.length; i++) {
    if ((i + 1) % width) energy += (grey[i + 1] - grey[i]) ** 2;
    if (i + width < grey.length) energy += (grey[i + width] - grey[i]) ** 2;
  }
  const steps = Math.max(height * (width - 1) + width * (height - 1), 1);
  const ratio = (sum) => (brightness > 0 ? sum / grey.length / brightness : 1);
  const measured = {
    brightness,
    contrast,
    sharpness: contrast > 1e-3 ? Math.sqrt(energy / steps) / contrast : 0,
    ...(channels === 3 ? { red: ratio(sums[0]), blue: ratio(sums[2]) } : {}),
    size: Math.max(image.width, image.height),
    aspect: image.width / image.height,
    // Transparent pixels keep their colour in it.
    saturation: saturation(image.stored ?? image),
  };
  for (const name of Object.keys(measured)) measured[name] = round(measured[name]);
  return measured;
}

/** To four decimals, halves to even, as runtime.py does: ranges hold such values. */
function round(value) {
  const scaled = value * 1e4;
  const nearest = Math.round(scaled);
  return (nearest - scaled === 0.5 && nearest % 2 ? nearest - 1 : nearest) / 1e4;
}

/** The mean difference between the largest and the smallest channel of the averaged image. */
function saturation({ width, height, rgba }) {
  const averaged = resize(rgba, [width, height], [SAMPLE, SAMPLE], 4);
  let sum = 0;
  for (let i = 0; i < averaged.length; i += 4) {
    const [red, green, blue] = averaged.subarray(i, i + 3);
    sum += Math.max(red, green, blue) - Math.min(red, green, blue);
  }
  return sum / SAMPLE ** 2;
}

/**
 * Which statistics differ; see `find_shifts` in runtime.py.
 *
 * @param {object} ranges of the training images, in model.json; null if the model has none.
 * @param {Object<string, number>[]} measured of each image.
 * @returns {{name, words, median, training, low, high, outside}[]}
 */
export function findShifts(ranges, measured) {
  if (ranges === null || !measured.length) return [];
  const shifts = [];
  for (const [name, usual] of Object.entries(ranges.percentiles)) {
    const values = measured.map((row) => row[name]).filter((value) => value !== undefined);
    const known = ranges.statistics[name];
    if (known === undefined || !values.length) continue;
    const [words, relative, absolute] = known;
    const [middle, training] = [median(values), usual[50]];
    const margin = Math.max(relative * Math.abs(training), absolute);
    if (Math.abs(middle - training) <= margin) continue;
    const [old, count] = [ranges.images, values.length];
    const deviation = Math.sqrt((old + count + 1) / (12 * old * count));
    const rank = mean(values.map((value) => rankAmong(value, usual)));
    const isSure = Math.abs(rank - 0.5) > ranges.max_deviation * deviation;
    const last = usual[usual.length - 1];
    const beyond = Math.max(usual[0] - middle, middle - last);
    const isFar = old >= ranges.min_training && beyond > Math.max(last - usual[0], margin);
    if (!isSure && !isFar) continue;
    const [low, high] = [usual[1], usual[99]];
    const outside = values.filter((value) => value < low || value > high).length;
    shifts.push({ name, words, median: middle, training, low, high, outside });
  }
  return shifts;
}

/** The share of training images below a value; half of the equal ones count. */
function rankAmong(value, percentiles) {
  const below = percentiles.filter((other) => other < value).length;
  const upTo = percentiles.filter((other) => other <= value).length;
  return (below + upTo) / (2 * percentiles.length);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
