// Decodes and scores images, away from the page's own thread, so that the page stays responsive.
//
// Messages to it: {id, task: "load", model}, {id, task: "score", source} and
// {id, task: "explain", source, longest}. Each is answered by {id, result} or {id, error};
// loading also reports {progress}.

import * as ort from "./runtime/ort.wasm.min.js";

import { ImageError } from "./inspect.js";
import { draw } from "./overlay.js";
import { decode, pixelsAreExact, toModel } from "./prepare.js";
import { measure } from "./shift.js";
import { threadsFor } from "./threads.js";

const THUMBNAIL = 64; // pixels, the longest side

let model = null;
let session = null;
let last = Promise.resolve(); // the session runs one image at a time

const TASKS = { load, score, explain };

self.onmessage = async ({ data: { id, task, ...values } }) => {
  try {
    const { result, transfer = [] } = await TASKS[task](values);
    self.postMessage({ id, result }, transfer);
  } catch (error) {
    const isExpected = error instanceof ImageError;
    self.postMessage({ id, error: isExpected ? error.message : `${error}` });
  }
};

/** Gets the files of the runtime and the model. */
async function load(values) {
  model = values.model;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threadsFor(model) : 1;
  ort.env.wasm.wasmPaths = { mjs: new URL(model.files.loader.path, self.location).href };
  const total = model.files.binary.bytes + model.files.model.bytes;
  let loaded = 0;
  const count = (bytes) => {
    loaded += bytes;
    self.postMessage({ progress: Math.min(loaded / total, 1) });
  };
  const names = ["binary", "model"];
  const [binary, network] = await Promise.all(
    names.map((name) => get(model.files[name].path, count))
  );
  ort.env.wasm.wasmBinary = binary;
  session = await ort.InferenceSession.create(network, { executionProviders: ["wasm"] });
  // The first run allocates memory and takes longer.
  await run(new Uint8Array(model.image_shape.reduce((a, b) => a * b)));
  return { result: { pixelsAreExact: pixelsAreExact() } };
}

/** A file of the site, as an ArrayBuffer. */
async function get(path, count) {
  const response = await fetch(new URL(path, self.location));
  if (!response.ok) throw new Error(`${path}: expected a file. Received: ${response.status}`);
  const parts = [];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts).arrayBuffer();
    parts.push(value);
    count(value.length);
  }
}

/** Scores one image: a file's bytes. */
async function score({ source }) {
  const image = await decode(source, model);
  const pixels = toModel(image, model);
  const { heat, ...found } = await run(pixels);
  // A thumbnail is too small for outlines.
  const { overlay } = draw(image, heat, { ...model, pixel_threshold: null }, THUMBNAIL);
  const statistics = model.ranges && measure(pixels, model.image_shape, image);
  const result = { ...found, statistics, thumbnail: overlay };
  return { result, transfer: [overlay.data.buffer] };
}

/** Scores one image, a file's bytes or an ImageBitmap, and draws it with its anomaly map. */
async function explain({ source, longest }) {
  const began = performance.now();
  const image = await decode(source, model);
  const { heat, ...found } = await run(toModel(image, model));
  const latency = performance.now() - began;
  const drawn = draw(image, heat, model, longest);
  return {
    result: { ...found, latency, ...drawn },
    transfer: [drawn.picture.data.buffer, drawn.overlay.data.buffer],
  };
}

/** Runs the model on one prepared image, after those that were asked for before. */
function run(pixels) {
  const mine = last.then(async () => {
    const images = new ort.Tensor("uint8", pixels, [1, ...model.image_shape]);
    const began = performance.now();
    const found = await session.run({ images }, ["score", "probability", "anomaly_map"]);
    return {
      milliseconds: performance.now() - began, // in the model alone
      score: found.score.data[0],
      probability: found.probability.data[0],
      heat: found.anomaly_map.data,
    };
  });
  last = mine.catch(() => {});
  return mine;
}
