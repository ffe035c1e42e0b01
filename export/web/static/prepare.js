// Turns an image file into what the model takes, as `prepare` in runtime.py does with Pillow.

import { ImageError, checkSize, inspect } from "./inspect.js";
import { decodePng } from "./png.js";
import { resize } from "./resize.js";
import { overBlack, toChannels, upright } from "./values.js";

/**
 * Decodes an image: upright, over black, without colour management.
 *
 * @param {Uint8Array | ImageBitmap} source a file's bytes, or a frame of the camera.
 * @param {object} model the contents of model.json.
 * @returns {Promise<{width: number, height: number, rgba: Uint8Array | Uint8ClampedArray}>} of a PNG
 *   file with `stored`, an image like it of the colours in the file, for statistics.
 * @throws {ImageError} if it is no image that can be scored.
 */
export async function decode(source, model) {
  if (source instanceof ImageBitmap) return readPixels(source);
  const { format, width, height } = inspect(source);
  // Before decoding: a small file can hold an image that fills the memory.
  if (width !== undefined) checkSize(width, height, model.max_pixels);
  if (format === "PNG") {
    const { turn, stored, ...image } = await decodePng(source, model.bit_depth);
    overBlack(image.rgba);
    const { width, height } = image;
    return { ...upright(image, turn), stored: { width, height, rgba: stored } };
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([source]), {
      colorSpaceConversion: "none",
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new ImageError(`expected a ${format} file. Received: one that is damaged`);
  }
  checkSize(bitmap.width, bitmap.height, model.max_pixels);
  return readPixels(bitmap);
}

/**
 * Brings a decoded image to the model's channels and size.
 *
 * @returns {Uint8Array} [h, w, C].
 */
export function toModel({ width, height, rgba }, { image_shape, resize: mode }) {
  const [high, wide, channels] = image_shape;
  const [left, top, ...size] = placed([width, height], [wide, high], mode);
  const scaled = resize(toChannels(rgba, channels), [width, height], size, channels);
  if (size[0] === wide && size[1] === high) return scaled;
  const pixels = new Uint8Array(high * wide * channels);
  const stride = size[0] * channels;
  for (let y = 0; y < size[1]; y++) {
    const row = scaled.subarray(y * stride, (y + 1) * stride);
    pixels.set(row, ((top + y) * wide + left) * channels);
  }
  return pixels;
}

/**
 * Where an image comes to lie in the model's frame; see `placed` in runtime.py.
 *
 * @returns {number[]} left, top, width, height.
 */
export function placed([width, height], frame, mode) {
  let [wide, high] = frame;
  if (mode === "pad" && width * high >= height * wide) {
    high = Math.max(1, Math.floor((2 * height * wide + width) / (2 * width)));
  } else if (mode === "pad") {
    wide = Math.max(1, Math.floor((2 * width * high + height) / (2 * height)));
  }
  const [left, top] = [Math.floor((frame[0] - wide) / 2), Math.floor((frame[1] - high) / 2)];
  return [left, top, wide, high];
}

/**
 * Whether this browser gives pixels back as they were drawn. Some add noise against tracking, which
 * changes the scores.
 */
export function pixelsAreExact() {
  const drawn = new ImageData(16, 16);
  for (let i = 0; i < drawn.data.length; i++) drawn.data[i] = i % 4 === 3 ? 255 : (i * 7) % 256;
  const context = canvasContext(16, 16);
  context.putImageData(drawn, 0, 0);
  const found = context.getImageData(0, 0, 16, 16).data;
  return found.every((value, i) => value === drawn.data[i]);
}

let context = null; // of the last image; images of a folder mostly have one size

function readPixels(bitmap) {
  const { width, height } = bitmap;
  if (context?.canvas.width !== width || context.canvas.height !== height) {
    context = canvasContext(width, height);
  }
  // Transparent images come to lie over black.
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, rgba: context.getImageData(0, 0, width, height).data };
}

function canvasContext(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  return canvas.getContext("2d", { alpha: false, willReadFrequently: true });
}
