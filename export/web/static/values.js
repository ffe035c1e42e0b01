// Values of pixels: fewer bits, more channels, over black, turned. Each as Pillow and runtime.py do.

/**
 * 16-bit values as 8 bits.
 *
 * @param {Uint16Array} values
 * @param {number} bitDepth 2 ** bitDepth - 1 becomes 255.
 * @returns {Uint8Array}
 */
export function eightBits(values, bitDepth) {
  const highest = 2 ** bitDepth - 1;
  return Uint8Array.from(values, (value) =>
    Math.min(Math.floor((value * 510 + highest) / (2 * highest)), 255)
  );
}

/** Grey, grey with alpha, RGB or RGBA (1 to 4 channels) as RGBA. @returns {Uint8Array} */
export function spread(values, channels) {
  if (channels === 4) return values;
  const count = values.length / channels;
  const rgba = new Uint8Array(count * 4);
  const [green, blue] = channels === 3 ? [1, 2] : [0, 0];
  for (let i = 0, from = 0, to = 0; i < count; i++, from += channels, to += 4) {
    rgba[to] = values[from];
    rgba[to + 1] = values[from + green];
    rgba[to + 2] = values[from + blue];
    rgba[to + 3] = channels === 2 ? values[from + 1] : 255;
  }
  return rgba;
}

/** Lays RGBA pixels over black, in place, rounded as in Pillow's `alpha_composite`. */
export function overBlack(rgba) {
  for (let i = 0; i < rgba.length; i += 4) {
    const alpha = rgba[i + 3];
    if (alpha === 255) continue;
    for (let c = 0; c < 3; c++) {
      const product = rgba[i + c] * alpha + 128;
      rgba[i + c] = (product + (product >> 8)) >> 8;
    }
    rgba[i + 3] = 255;
  }
}

/** RGBA as grey (ITU-R 601 luma, in Pillow's integers) or RGB. @returns {Uint8Array} */
export function toChannels(rgba, channels) {
  const count = rgba.length / 4;
  const pixels = new Uint8Array(count * channels);
  for (let i = 0, from = 0; i < count; i++, from += 4) {
    const [red, green, blue] = [rgba[from], rgba[from + 1], rgba[from + 2]];
    if (channels === 1) {
      pixels[i] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    } else {
      pixels[3 * i] = red;
      pixels[3 * i + 1] = green;
      pixels[3 * i + 2] = blue;
    }
  }
  return pixels;
}

/**
 * Turns an image upright.
 *
 * @param {{width: number, height: number, rgba: Uint8Array}} image
 * @param {number} turn the orientation in the EXIF data, 1 to 8.
 */
export function upright({ width, height, rgba }, turn) {
  if (turn === 1) return { width, height, rgba };
  const swaps = turn > 4;
  const [wide, high] = swaps ? [height, width] : [width, height];
  const from = new Uint32Array(rgba.buffer, rgba.byteOffset, width * height);
  const to = new Uint32Array(width * height);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      let [column, row] = swaps ? [y, x] : [x, y];
      if ([2, 3, 7, 8].includes(turn)) column = width - 1 - column;
      if ([3, 4, 6, 7].includes(turn)) row = height - 1 - row;
      to[y * wide + x] = from[row * width + column];
    }
  }
  return { width: wide, height: high, rgba: new Uint8Array(to.buffer) };
}
