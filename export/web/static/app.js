// Ties the page together: what is chosen is scored in the order in which it came.

import { Camera } from "./camera.js";
import { fromDrop, fromInput } from "./files.js";
import { byId, element, number } from "./page.js";
import { readFile, readSome } from "./reading.js";
import { Results } from "./results.js";
import { Scorer } from "./scorer.js";
import { findShifts } from "./shift.js";
import { Table } from "./table.js";
import { reloadForThreads } from "./threads.js";
import { Threshold } from "./threshold.js";
import { LONGEST, Viewer } from "./viewer.js";

const REDRAW = 250; // milliseconds between redraws while images are scored

const results = new Results();
const queue = [];
let busy = null; // {done, began} while images are scored
let model, scorer, threshold, table, viewer, camera;

byId("as-file").hidden = true;
start().catch((error) => {
  byId("progress").hidden = true;
  byId("status").textContent = `The model cannot be loaded. ${error.message}`;
  byId("status").className = "problem";
});

async function start() {
  const response = await fetch("model.json", { cache: "no-cache" }); // it names the model
  if (!response.ok) throw new Error(`model.json: expected a file. Received: ${response.status}`);
  model = await response.json();
  if (await reloadForThreads(model)) return;
  scorer = new Scorer(model, (share) => (byId("progress").value = share));
  threshold = new Threshold(model, () => draw());
  table = new Table(choose);
  viewer = new Viewer(model);
  camera = new Camera(
    scorer,
    (found, rate) => viewer.show("Camera", found, threshold.value, rate),
    (file) => add({ images: [{ name: file.name, file }], skipped: 0 }),
    (message) => (byId("input-note").textContent = message)
  );
  listen();
  const { pixelsAreExact } = await scorer.ready;
  byId("loading").hidden = true;
  if (!pixelsAreExact) {
    byId("warning").textContent =
      "This browser changes the pixels that a page reads, as a protection against tracking. " +
      "Scores will differ from those of runtime.py.";
    byId("warning").hidden = false;
  }
  document.body.dataset.ready = "true";
  score();
}

function listen() {
  for (const [button, input] of [["choose-files", "files"], ["choose-folder", "folder"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", ({ target }) => {
      add(fromInput(target.files, model));
      target.value = ""; // so that the same files can be chosen again
    });
  }
  byId("camera").addEventListener("click", toggleCamera);
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(name, async (event) => {
      event.preventDefault();
      byId("input").classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name === "drop") add(await fromDrop(event.dataTransfer, model));
    });
  }
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) add(fromInput(event.clipboardData.files, model));
  });
  for (const id of ["order", "show"]) byId(id).addEventListener("change", () => draw());
  byId("download").addEventListener("click", download);
  byId("clear").addEventListener("click", clear);
}

/** Takes over what files.js found. */
function add({ images, skipped }) {
  queue.push(...images.map((image) => results.add(image)));
  const others = `${skipped.toLocaleString("en")} other ${skipped === 1 ? "file" : "files"}`;
  byId("input-note").textContent = skipped
    ? `${images.length.toLocaleString("en")} images found; ${others} passed over.`
    : "";
  if (document.body.dataset.ready) score();
  draw();
}

/** Scores what is waiting; files are read while the model runs on those before them. */
async function score() {
  if (busy) return;
  const run = { done: 0, began: performance.now() };
  busy = run;
  let scoring = null;
  let next = readSome(queue);
  for (let group = await next; group.length && busy === run; group = await next) {
    next = readSome(queue);
    const before = scoring;
    scoring = Promise.all(group.map((read) => scoreOne(read, run)));
    await before; // two groups at most are on their way
  }
  await scoring;
  if (busy === run) finish();
}

async function scoreOne({ result, bytes, error }, run) {
  try {
    if (error) throw error;
    Object.assign(result, await scorer.score(bytes), { state: "scored" });
  } catch (problem) {
    Object.assign(result, { state: "error", error: problem.message });
  }
  run.done += 1;
  if (run === busy) drawSoon();
}

function finish() {
  const seconds = (performance.now() - busy.began) / 1000;
  if (busy.done > 1) {
    const rate = busy.done / seconds;
    byId("speed").textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} images per second`;
  }
  busy = null;
  if (queue.length) return score(); // added at the last moment
  draw();
  showShifts();
  const first = table.results?.find(({ state }) => state === "scored");
  if (first && !viewer.shown) choose(first, false);
}

let timer = null;

function drawSoon() {
  timer ??= setTimeout(draw, REDRAW);
}

/** Shows the results as they stand. */
function draw() {
  clearTimeout(timer);
  timer = null;
  threshold.draw(results.scores());
  const shown = results.select(byId("show").value, byId("order").value, threshold.value);
  table.draw(shown, threshold.value);
  viewer.decide(threshold.value);
  byId("tools").hidden = !results.all.length;
  byId("empty").hidden = shown.length > 0;
  byId("empty").textContent = results.all.length
    ? "No image of this kind."
    : "Scores appear here, one row for each image.";
  byId("download").disabled = busy !== null;
  byId("input").classList.toggle("compact", results.all.length > 0);
  // Screen readers speak the result once, not each step towards it.
  byId("summary").ariaLive = busy ? "off" : "polite";
  byId("summary").textContent = summary();
}

function summary() {
  const { waiting, error, normal, anomaly } = results.counts(threshold.value);
  if (!results.all.length) return "No images yet.";
  const parts = [`${count(anomaly, "anomaly", "anomalies")} among ${count(normal + anomaly, "image")}`];
  if (error) parts.push(`${error.toLocaleString("en")} not scored`);
  if (waiting) parts.push(`${waiting.toLocaleString("en")} waiting`);
  return `${parts.join("; ")}.`;
}

function count(total, one, many = `${one}s`) {
  return `${total.toLocaleString("en")} ${total === 1 ? one : many}`;
}

/** Says how the images differ from those that the model knows. */
function showShifts() {
  const measured = results.statistics();
  const shifts = findShifts(model.ranges, measured);
  byId("shift").hidden = !shifts.length;
  byId("shifts").replaceChildren(
    ...shifts.map((shift) => {
      const [middle, training, low, high] = [shift.median, shift.training, shift.low, shift.high].map(number);
      const text =
        `${shift.words}: median ${middle}, in ${model.ranges.source} ${training} (98 % from ${low} to ${high}); ` +
        `${count(shift.outside, "image")} of ${measured.length.toLocaleString("en")} outside`;
      return element("li", { textContent: text });
    })
  );
}

/** Shows one image large. */
async function choose(result, scroll = true) {
  if (camera.isOn) camera.stop();
  table.choose(result);
  try {
    const found = await scorer.explain(await readFile(result.file), LONGEST);
    if (table.chosen !== result) return; // another was chosen meanwhile
    viewer.show(result.name, found, threshold.value);
    // On a narrow screen the picture lies above the table.
    if (scroll) byId("viewer").scrollIntoView({ block: "nearest" });
  } catch (error) {
    byId("input-note").textContent = `${result.name}: ${error.message}`;
  }
}

async function toggleCamera() {
  if (camera.isStarting) return; // the second click of two
  byId("input-note").textContent = "";
  if (camera.isOn) return camera.stop();
  try {
    await camera.start();
    table.choose(null);
  } catch (error) {
    camera.stop();
    byId("input-note").textContent = error.message;
  }
}

function download() {
  const blob = new Blob([results.csv(threshold.value)], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(blob), download: "scores.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function clear() {
  queue.length = 0;
  busy = null;
  results.all = [];
  table.clear();
  table.choose(null);
  if (!camera.isOn) viewer.hide();
  byId("speed").textContent = "";
  byId("shift").hidden = true;
  draw();
}
