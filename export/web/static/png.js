// Decodes PNG files to the values that are stored, as Pillow does. Browsers would cut 16 bits down
// to 8, and some manage colours or add noise; small files are also quicker this way.

import { ImageError, orientation } from "./inspect.js";
import { eightBits, spread } from "./values.js";

const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // by colour type
const PALETTE = 3; // a colour type
const WHOLE = [[0, 0, 1, 1]]; // first x, first y, step in x, step in y
const INTERLACED = [
  ...[[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4]],
  ...[[0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]],
];

/**
 * Decodes a PNG file.
 *
 * @param {Uint8Array} bytes the file.
 * @param {number} bitDepth how many bits of 16-bit files are in use: 2 ** bitDepth - 1 becomes 255.
 * @returns {Promise<{width: number, height: number, rgba: Uint8Array, stored: Uint8Array,
 *   turn: number}>} not premultiplied; `stored` is RGBA, too, of 16 bits the upper ones, and an array
 *   of its own if a pixel may be transparent; `turn` is the orientation in the EXIF data, 1 to 8.
 * @throws {ImageError} if the file is damaged.
 */
export async function decodePng(bytes, bitDepth) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const head = {
    width: view.getUint32(16),
    height: view.getUint32(20),
    depth: bytes[24],
    colourType: bytes[25],
    channels: CHANNELS[bytes[25]],
    passes: bytes[28] ? INTERLACED : WHOLE,
  };
  if (!head.channels || ![1, 2, 4, 8, 16].includes(head.depth)) throw damaged();
  const chunks = readChunks(bytes, view);
  const areas = head.passes.map((pass) => area(head, pass));
  const length = areas.reduce((sum, { high, stride }) => sum + high * (stride + 1), 0);
  const raw = await inflate(chunks.IDAT, length);
  const values = unfilter(raw, head, areas);
  const [palette, clear] = [chunks.PLTE[0], chunks.tRNS[0]];
  if (head.colourType === PALETTE && !palette) throw damaged();
  const rgba =
    head.colourType === PALETTE
      ? lookUp(values, palette, clear)
      : spread(scaled(values, head.depth, bitDepth), head.channels);
  if (clear && head.colourType !== PALETTE && head.depth < 16) clearColour(rgba, clear, head);
  const { width, height } = head;
  let stored = rgba;
  if (head.depth === 16) {
    stored = spread(Uint8Array.from(values, (value) => value >> 8), head.channels);
  } else if (clear || head.channels === 4) {
    stored = rgba.slice();
  }
  const turn = chunks.eXIf.length ? orientation(chunks.eXIf[0]) : 1;
  return { width, height, rgba, stored, turn };
}

function damaged() {
  return new ImageError("expected a PNG file. Received: one that is cut off or damaged");
}

/** The contents of the chunks that matter, by name, in the file's order. */
function readChunks(bytes, view) {
  const chunks = { IDAT: [], PLTE: [], tRNS: [], eXIf: [] };
  for (let at = 33; at + 8 <= bytes.length; ) {
    const end = at + 8 + view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (name === "IEND") break;
    // The compressed pixels have a check sum of their own.
    if (name === "PLTE" && (end + 4 > bytes.length || crc(bytes, at + 4, end) !== view.getUint32(end))) {
      throw damaged();
    }
    chunks[name]?.push(bytes.subarray(at + 8, end));
    at = end + 4;
  }
  return chunks;
}

/** CRC-32 of the bytes from `start` to `end`. */
function crc(bytes, start, end) {
  let sum = -1;
  for (let i = start; i < end; i++) {
    sum ^= bytes[i];
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

/** Decompresses `length` bytes. */
async function inflate(parts, length) {
  const raw = new Uint8Array(length);
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  let at = 0;
  try {
    // What fails while writing fails while reading, too.
    for (const part of parts) writer.write(part).catch(() => {});
    writer.close().catch(() => {});
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      raw.set(value.subarray(0, length - at), at);
      at = Math.min(at + value.length, length);
    }
  } catch {
    throw damaged();
  }
  if (at < length) throw damaged();
  return raw;
}

/** The part of the image that one pass fills; `stride` is the bytes of its rows. */
function area({ width, height, depth, channels }, [left, top, stepX, stepY]) {
  const wide = Math.max(Math.ceil((width - left) / stepX), 0);
  const high = wide ? Math.max(Math.ceil((height - top) / stepY), 0) : 0;
  return { left, top, stepX, stepY, wide, high, stride: Math.ceil((wide * channels * depth) / 8) };
}

/** Undoes the filters of all passes: values [height, width, channels], as stored. */
function unfilter(raw, { width, height, depth, channels }, areas) {
  const values = new (depth === 16 ? Uint16Array : Uint8Array)(width * height * channels);
  const pixel = Math.max((channels * depth) >> 3, 1); // bytes
  let at = 0;
  for (const { left, top, stepX, stepY, wide, high, stride } of areas) {
    let above = new Uint8Array(stride);
    for (let y = 0; y < high; y++) {
      const row = raw.subarray(at + 1, at + 1 + stride);
      unfilterRow(raw[at], row, above, pixel);
      const start = ((top + y * stepY) * width + left) * channels;
      if (depth === 8 && stepX === 1) {
        values.set(row, start);
      } else {
        for (let i = 0; i < wide * channels; i++) {
          const to = start + Math.floor(i / channels) * stepX * channels + (i % channels);
          values[to] = depth === 16 ? row[2 * i] * 256 + row[2 * i + 1] : bits(row, i, depth);
        }
      }
      above = row;
      at += 1 + stride;
    }
  }
  return values;
}

/** The `i`-th value of a row of 1, 2, 4 or 8 bits each. */
function bits(row, i, depth) {
  const shift = 8 - depth - ((i * depth) & 7);
  return (row[(i * depth) >> 3] >> shift) & ((1 << depth) - 1);
}

function unfilterRow(filter, row, above, pixel) {
  if (filter > 4) throw damaged();
  if (filter === 0) return;
  for (let i = 0; i < row.length; i++) {
    const left = i >= pixel ? row[i - pixel] : 0;
    if (filter === 1) row[i] += left;
    else if (filter === 2) row[i] += above[i];
    else if (filter === 3) row[i] += (left + above[i]) >> 1;
    else row[i] += paeth(left, above[i], i >= pixel ? above[i - pixel] : 0);
  }
}

function paeth(left, above, corner) {
  const a = Math.abs(above - corner);
  const b = Math.abs(left - corner);
  const c = Math.abs(left + above - 2 * corner);
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}

/** Values of any depth as 8 bits. */
function scaled(values, depth, bitDepth) {
  if (depth === 16) return eightBits(values, bitDepth);
  return depth === 8 ? values : values.map((value) => (value * 255) / (2 ** depth - 1));
}

/** Colours by their number in the palette; `alphas` gives the opacity of the first ones. */
function lookUp(values, palette, alphas = []) {
  const rgba = new Uint8Array(values.length * 4);
  for (let i = 0; i < values.length; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = palette[3 * values[i] + c] ?? 0;
    rgba[4 * i + 3] = alphas[values[i]] ?? 255;
  }
  return rgba;
}

/** Makes the one colour transparent that the file declares so. */
function clearColour(rgba, clear, { depth, colourType }) {
  const at = (i) => (clear[2 * i] << 8) | clear[2 * i + 1];
  // Pillow scales this number for 1 bit, but not for 2 and 4.
  const grey = depth === 1 ? at(0) * 255 : at(0);
  const [red, green, blue] = colourType === 2 ? [at(0), at(1), at(2)] : [grey, grey, grey];
  for (let i = 0; i < rgba.length; i += 4) {
    if (rgba[i] === red && rgba[i + 1] === green && rgba[i + 2] === blue) rgba[i + 3] = 0;
  }
}
