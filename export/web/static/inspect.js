// What the first bytes of an image file say, and which files are refused before they are decoded.

/** An image that cannot be scored; the message says what was expected and what came. */
export class ImageError extends Error {}

const READABLE = "PNG, JPEG, BMP, GIF, WEBP";
const SIGNATURES = [
  ["PNG", 0, "\x89PNG\r\n\x1a\n"],
  ["JPEG", 0, "\xff\xd8\xff"],
  ["GIF", 0, "GIF8"],
  ["BMP", 0, "BM"],
  ["WEBP", 8, "WEBP"],
  ["TIFF", 0, "II*\0"],
  ["TIFF", 0, "MM\0*"],
];

/**
 * Reads what decides how a file is decoded.
 *
 * @param {Uint8Array} bytes the whole file.
 * @returns {{format: string, width?: number, height?: number}} the size of PNG and JPEG files.
 * @throws {ImageError} if the browser cannot decode it as runtime.py does.
 */
export function inspect(bytes) {
  const found = SIGNATURES.find(([, at, text]) => startsWith(bytes, at, text));
  if (found === undefined) refuse("other or damaged content");
  const format = found[0];
  if (format === "TIFF") refuse("TIFF, which browsers cannot decode; save it as PNG or JPEG");
  if (format === "PNG") return inspectPng(bytes);
  if (format === "JPEG") return inspectJpeg(bytes);
  // Not every browser turns these.
  if (format === "WEBP" && orientation(webpExif(bytes)) > 1) {
    refuse("a WEBP file that is turned by its EXIF data; save it upright");
  }
  return { format };
}

/** Refuses images of more pixels than the model allows. */
export function checkSize(width, height, maxPixels) {
  if (width * height > maxPixels) {
    const most = maxPixels.toLocaleString("en");
    throw new ImageError(`expected at most ${most} pixels. Received: ${width}x${height}`);
  }
}

function refuse(received) {
  throw new ImageError(`expected an image (${READABLE}). Received: ${received}`);
}

function startsWith(bytes, at, text) {
  if (bytes.length < at + text.length) return false;
  for (let i = 0; i < text.length; i++) {
    if (bytes[at + i] !== text.charCodeAt(i)) return false;
  }
  return true;
}

function inspectPng(bytes) {
  if (!startsWith(bytes, 12, "IHDR") || bytes.length < 33) refuse("a damaged PNG file");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    format: "PNG",
    width: view.getUint32(16),
    height: view.getUint32(20),
  };
}

function inspectJpeg(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let size = null;
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at += 1; // filling
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && at + 10 <= bytes.length) {
      size = { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
      // Each program turns printing colours into RGB by its own formula.
      if (bytes[at + 9] === 4) refuse("a JPEG file in CMYK; save it in RGB");
    }
    if (marker === 0xda) break; // the pixels begin
    at += 2 + view.getUint16(at + 2);
  }
  // Browsers fill up what is missing with grey, as if the image were whole.
  if (size === null || !hasEnd(bytes, at)) refuse("a JPEG file that is cut off or damaged");
  return { format: "JPEG", ...size };
}

/** The EXIF data of a WebP file; empty if there are none. */
function webpExif(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (startsWith(bytes, at, "EXIF")) {
      const prefix = startsWith(bytes, at + 8, "Exif\0\0") ? 6 : 0;
      return bytes.subarray(at + 8 + prefix, at + 8 + length);
    }
    at += 8 + length + (length % 2);
  }
  return new Uint8Array();
}

/** The orientation in EXIF data, 1 (upright) to 8; 1 if there is none that can be read. */
export function orientation(exif) {
  if (exif.length < 10) return 1;
  const view = new DataView(exif.buffer, exif.byteOffset, exif.length);
  const little = exif[0] === 0x49;
  const directory = view.getUint32(4, little);
  if (directory + 2 > exif.length) return 1;
  const end = directory + 2 + 12 * view.getUint16(directory, little);
  for (let entry = directory + 2; entry + 12 <= Math.min(end, exif.length); entry += 12) {
    if (view.getUint16(entry, little) !== 0x112) continue;
    const isShort = view.getUint16(entry + 2, little) === 3;
    const value = isShort ? view.getUint16(entry + 8, little) : view.getUint32(entry + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

/** Whether the marker for the end of a JPEG file comes after the position `from`. */
function hasEnd(bytes, from) {
  for (let i = bytes.length - 2; i > from; i--) {
    if (bytes[i] === 0xff && bytes[i + 1] === 0xd9) return true;
  }
  return false;
}
