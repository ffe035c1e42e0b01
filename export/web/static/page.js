// Small helpers for the document.

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element with properties, attributes in `data`, and children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** A score with four significant digits. */
export function number(value) {
  return Number.isFinite(value) ? `${Number(value.toPrecision(4))}` : `${value}`;
}

const MARKS = { anomaly: "▲", normal: "●", error: "✕" };

/** What was decided, by word, shape and colour. */
export function badge(kind) {
  const text = kind === "error" ? "not scored" : kind;
  const mark = element("span", { ariaHidden: "true", textContent: `${MARKS[kind]} ` });
  return element("span", { className: `badge ${kind}` }, mark, text);
}

/** Draws pixels on a canvas of their size. */
export function paint(canvas, pixels) {
  [canvas.width, canvas.height] = [pixels.width, pixels.height];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  // Tiny images are shown as the squares that they are.
  canvas.classList.toggle("tiny", Math.max(pixels.width, pixels.height) < 200);
}
