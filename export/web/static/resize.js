// Pillow's bilinear filter, with its rounding, so that the page scores the same pixels as runtime.py.
//
// Source: Pillow, src/libImaging/Resample.c. When an image shrinks, the filter widens and averages
// over all pixels. Weights of 8-bit images are integers of 22 fractional bits; the horizontal pass
// comes first and is rounded to 8 bits before the vertical one.

const FRACTION_BITS = 22;
const HALF = 1 << (FRACTION_BITS - 1);

/**
 * Resizes interleaved pixels.
 *
 * @param {Uint8Array | Uint8ClampedArray | Float32Array} pixels [height, width, channels].
 * @param {number[]} size [width, height] of `pixels`.
 * @param {number[]} newSize [width, height] of the result.
 * @param {number} channels of each pixel.
 * @returns the same type of array, [newHeight, newWidth, channels].
 */
export function resize(pixels, [width, height], [newWidth, newHeight], channels) {
  let result = pixels;
  if (newWidth !== width) result = horizontally(result, width, height, newWidth, channels);
  if (newHeight !== height) result = vertically(result, newWidth * channels, height, newHeight);
  return result;
}

/** For each new position: where its window begins, how long it is, and its weights. */
function windows(size, newSize, isInteger) {
  const scale = size / newSize;
  const support = Math.max(scale, 1);
  const longest = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(newSize);
  const lengths = new Int32Array(newSize);
  const weights = isInteger
    ? new Int32Array(newSize * longest)
    : new Float64Array(newSize * longest);
  const exact = new Float64Array(longest);
  for (let at = 0; at < newSize; at++) {
    const centre = (at + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), size);
    let total = 0;
    for (let i = start; i < end; i++) {
      // Pillow multiplies by the reciprocal; a division would round differently.
      const weight = Math.max(1 - Math.abs((i - centre + 0.5) * (1 / support)), 0);
      exact[i - start] = weight;
      total += weight;
    }
    starts[at] = start;
    lengths[at] = end - start;
    for (let i = 0; i < end - start; i++) {
      const weight = total === 0 ? exact[i] : exact[i] / total;
      weights[at * longest + i] = isInteger
        ? Math.trunc(0.5 + weight * (1 << FRACTION_BITS))
        : weight;
    }
  }
  return { starts, lengths, weights, longest };
}

function horizontally(pixels, width, height, newWidth, channels) {
  const isInteger = !(pixels instanceof Float32Array);
  const { starts, lengths, weights, longest } = windows(width, newWidth, isInteger);
  const result = new pixels.constructor(newWidth * height * channels);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const row = y * width * channels;
    for (let x = 0; x < newWidth; x++) {
      const first = row + starts[x] * channels;
      const weight = x * longest;
      for (let c = 0; c < channels; c++) {
        let sum = isInteger ? HALF : 0;
        for (let i = 0; i < lengths[x]; i++) {
          sum += pixels[first + i * channels + c] * weights[weight + i];
        }
        result[to++] = isInteger ? sum >> FRACTION_BITS : sum;
      }
    }
  }
  return result;
}

/** The vertical pass treats a row as one run of `stride` numbers, whatever its channels. */
function vertically(pixels, stride, height, newHeight) {
  const isInteger = !(pixels instanceof Float32Array);
  const { starts, lengths, weights, longest } = windows(height, newHeight, isInteger);
  const result = new pixels.constructor(stride * newHeight);
  const sums = isInteger ? new Int32Array(stride) : new Float64Array(stride);
  for (let y = 0; y < newHeight; y++) {
    sums.fill(isInteger ? HALF : 0);
    for (let i = 0; i < lengths[y]; i++) {
      const row = (starts[y] + i) * stride;
      const weight = weights[y * longest + i];
      for (let x = 0; x < stride; x++) sums[x] += pixels[row + x] * weight;
    }
    for (let x = 0; x < stride; x++) {
      result[y * stride + x] = isInteger ? sums[x] >> FRACTION_BITS : sums[x];
    }
  }
  return result;
}
