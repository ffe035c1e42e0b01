// The threshold slider of report.html. thresholds.py explains the values.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const values = JSON.parse(byId("threshold-values").textContent);
  const MAX_LISTED = 50;
  const anomalous = new Set(values.anomalous);
  const images = values.scores.map((score, index) => ({
    score: Math.fround(score), // float32, as the model gives it
    kind: values.kinds[index],
    isAnomaly: anomalous.has(values.kinds[index]),
    name: values.names ? values.names[index] : `test image ${index}`,
  }));
  const sorted = (chosen) => chosen.map((image) => image.score).sort((a, b) => a - b);
  const normal = sorted(images.filter((image) => !image.isAnomaly));
  const anomalies = sorted(images.filter((image) => image.isAnomaly));
  const ofKind = values.anomalous.map((kind) => sorted(images.filter((i) => i.kind === kind)));
  const slider = byId("slider");
  const field = byId("threshold-field");
  let threshold = values.chosen;
  let cheapest = null;

  /** How many of the sorted scores are greater. */
  function countAbove(scores, limit) {
    let [low, high] = [0, scores.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (scores[middle] > limit) high = middle;
      else low = middle + 1;
    }
    return scores.length - low;
  }

  /** A slider position as a threshold with few digits, so that the command has the same number. */
  function valueAt(position) {
    const digits = Math.max(0, -values.exponent);
    return Number((position * 10 ** values.exponent).toFixed(digits));
  }

  const positionOf = (value) =>
    Math.min(Math.max(value / 10 ** values.exponent, values.first), values.last);

  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const whole = (number) => number.toLocaleString("en");
  const ofAll = (count, all) =>
    all ? `${percent(count / all)} (${whole(count)} of ${whole(all)})` : "no such image in the test";

  /** The expected false-alarm rate; `rate_bounds` in Python says why. */
  function promise(limit) {
    const { validation, bounds } = values;
    const above = countAbove(validation, limit);
    const equal = validation[validation.length - above - 1] === limit ? 1 : 0;
    return {
      mean: (2 * above + equal + 1) / 2 / (validation.length + 1),
      low: bounds.low[above + equal],
      high: bounds.high[above + 1],
    };
  }

  function drawLine(id, value) {
    const line = byId(id);
    const at = ((positionOf(value) - values.first) / (values.last - values.first)) * 1000;
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
    line.setAttribute("visibility", "visible");
  }

  /** Fills a list with images, those nearest to both thresholds first. */
  function list(id, found) {
    const items = found.slice(0, MAX_LISTED).map((image) => {
      const item = document.createElement("li");
      const mark = image.isAnomaly ? "anomaly" : "normal";
      item.textContent =
        `${image.name}: ${values.kind_names[image.kind]} (${mark}), ` +
        `score ${Number(image.score.toPrecision(5))}`;
      return item;
    });
    if (found.length > MAX_LISTED || !found.length) {
      const item = document.createElement("li");
      item.textContent = found.length ? `and ${whole(found.length - MAX_LISTED)} more` : "none";
      items.push(item);
    }
    byId(id).replaceChildren(...items);
  }

  function showChanges() {
    const [low, high] = [Math.min(threshold, values.chosen), Math.max(threshold, values.chosen)];
    const between = images.filter((image) => image.score > low && image.score <= high);
    const [up, down] = threshold < values.chosen ? [between, []] : [[], between];
    list("up", up.sort((a, b) => b.score - a.score));
    list("down", down.sort((a, b) => a.score - b.score));
    byId("changed").textContent =
      `${whole(between.length)} of ${whole(images.length)} test images are decided otherwise ` +
      `than by this run's threshold, ${Number(values.chosen.toPrecision(5))}.`;
  }

  function show() {
    const seen = countAbove(normal, threshold);
    const found = countAbove(anomalies, threshold);
    const { mean, low, high } = promise(threshold);
    const confidence = Math.round(100 * values.bounds.confidence);
    const text = String(threshold);
    slider.value = Math.round(positionOf(threshold));
    slider.setAttribute("aria-valuetext", text);
    // Not while someone types in it.
    if (document.activeElement !== field) field.value = text;
    byId("reset").disabled = threshold === values.chosen;
    byId("promised").textContent =
      `${percent(mean)}, with ${confidence} % confidence ${percent(low)} to ${percent(high)}`;
    byId("seen").textContent = ofAll(seen, normal.length);
    if (byId("found")) {
      byId("found").textContent = ofAll(found, anomalies.length);
      [...byId("by-kind").tBodies[0].rows].forEach((row, i) => {
        const count = countAbove(ofKind[i], threshold);
        row.cells[2].textContent = `${whole(count)} (${percent(count / ofKind[i].length)})`;
      });
    }
    byId("command").textContent = `${byId("command").dataset.command} ${text}`;
    byId("copied").textContent = "";
    drawLine("moved-line", threshold);
    showChanges();
  }

  function set(value) {
    threshold = value;
    show();
  }

  /** What 1,000 images cost at a threshold. */
  function cost(limit, miss, alarm, perThousand) {
    const missed = 1 - countAbove(anomalies, limit) / anomalies.length;
    const alarms = normal.length ? countAbove(normal, limit) / normal.length : 0;
    return perThousand * miss * missed + (1000 - perThousand) * alarm * alarms;
  }

  function findCheapest() {
    const prices = ["price-miss", "price-alarm", "per-thousand"].map((id) => byId(id).valueAsNumber);
    const valid = prices.every((price) => price >= 0) && prices[2] <= 1000;
    byId("use-cheapest").disabled = !valid;
    if (!valid) {
      byId("cheapest").textContent =
        "Enter prices of at least 0, and from 0 to 1,000 anomalies in 1,000 images.";
      byId("cheapest-line").setAttribute("visibility", "hidden");
      return;
    }
    let [least, from, to] = [Infinity, 0, 0];
    for (let position = values.first; position <= values.last; position += 1) {
      const price = cost(valueAt(position), ...prices);
      if (price < least) [least, from, to] = [price, position, position];
      else if (price === least && position === to + 1) to = position;
    }
    // The middle of equally cheap ones is farthest from the scores on both sides.
    cheapest = valueAt(Math.round((from + to) / 2));
    drawLine("cheapest-line", cheapest);
    const round = (price) => Number(price.toPrecision(4)).toLocaleString("en");
    byId("cheapest").textContent =
      `Cheapest: ${cheapest} (dotted line), ${round(least)} for 1,000 images. ` +
      `This run's threshold: ${round(cost(values.chosen, ...prices))}.`;
  }

  async function copy() {
    const code = byId("command");
    try {
      await navigator.clipboard.writeText(code.textContent);
      byId("copied").textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      byId("copied").textContent = "selected; copy it with Ctrl+C";
    }
  }

  [slider.min, slider.max, slider.step] = [values.first, values.last, 1];
  slider.addEventListener("input", () => set(valueAt(slider.valueAsNumber)));
  field.addEventListener("input", () => {
    if (Number.isFinite(field.valueAsNumber)) set(field.valueAsNumber);
  });
  field.addEventListener("blur", show);
  byId("reset").addEventListener("click", () => set(values.chosen));
  byId("copy").addEventListener("click", copy);
  if (anomalies.length) {
    byId("per-thousand").value = Number(((1000 * anomalies.length) / images.length).toPrecision(3));
    for (const id of ["price-miss", "price-alarm", "per-thousand"]) {
      byId(id).addEventListener("input", findCheapest);
    }
    byId("use-cheapest").addEventListener("click", () => set(cheapest));
    findCheapest();
  }
  byId("some-thresholds").open = false;
  addEventListener("beforeprint", () => (byId("some-thresholds").open = true));
  byId("controls").hidden = false;
  show();
})();
