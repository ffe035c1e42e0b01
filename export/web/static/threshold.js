// The threshold: a slider under the scores of the user's images and of the model's normal ones.

import { byId, number } from "./page.js";

const STEPS = 1000; // of the slider
const BINS = 100;
const MIDDLE = 64; // of the chart's 100 units of height: the user's images above, the model's below

export class Threshold {
  /**
   * @param {object} model the contents of model.json.
   * @param {() => void} onChange is called when the user moves the threshold.
   */
  constructor(model, onChange) {
    this.model = model;
    this.value = model.threshold;
    this.onChange = onChange;
    this.slider = byId("slider");
    this.field = byId("threshold");
    this.slider.addEventListener("input", () => this.#set(this.#valueAt(this.slider.value / STEPS)));
    this.field.addEventListener("input", () => {
      if (Number.isFinite(this.field.valueAsNumber)) this.#set(this.field.valueAsNumber);
    });
    this.field.addEventListener("blur", () => this.#showValue());
    byId("reset").addEventListener("click", () => this.#set(model.threshold));
    this.draw([]);
  }

  /** Draws the scores; the slider's ends follow them. */
  draw(scores) {
    this.scores = scores;
    const normal = this.model.normal_scores;
    const low = least([...normal, ...scores, this.model.threshold]);
    const high = greatest([...normal, ...scores, this.model.threshold]);
    // A single extreme score must not press all others together; the last bar holds it, too.
    const most = this.model.threshold + 8 * (this.model.threshold - least(normal));
    const end = most > this.model.threshold ? Math.min(high, most) : high;
    const margin = (end - low || 1) * 0.04;
    [this.low, this.high] = [low - margin, end + margin];
    this.#drawBars();
    this.#showValue();
  }

  #valueAt(share) {
    return this.low + share * (this.high - this.low);
  }

  #shareOf(value) {
    return Math.min(Math.max((value - this.low) / (this.high - this.low), 0), 1);
  }

  #set(value) {
    this.value = value;
    this.#drawBars();
    this.#showValue();
    this.onChange();
  }

  /** What is shown is rounded; decisions go by the exact value, such as the model's own. */
  #showValue() {
    const text = number(this.value);
    this.slider.value = Math.round(this.#shareOf(this.value) * STEPS);
    this.slider.setAttribute("aria-valuetext", text);
    // Not while someone types in it.
    if (document.activeElement !== this.field) this.field.value = text;
    byId("reset").disabled = this.value === this.model.threshold;
    const normal = this.model.normal_scores;
    const above = normal.filter((score) => score > this.value).length;
    const share = ((100 * above) / normal.length).toFixed(1);
    byId("false-alarms").textContent =
      `Of the ${normal.length.toLocaleString("en")} normal images that the threshold rests on, ` +
      `${above.toLocaleString("en")} (${share} %) lie above this threshold.`;
  }

  #drawBars() {
    const own = this.#bins(this.scores);
    const validation = this.#bins(this.model.normal_scores);
    // The bar in which the threshold lies counts as above only from its middle on.
    const split = Math.round(this.#shareOf(this.value) * BINS);
    const tallest = Math.max(greatest(own), 1);
    const bars = (counts, from, to, scale) =>
      counts
        .map((count, i) => {
          if (!count || i < from || i >= to) return "";
          const width = STEPS / BINS;
          // Square roots keep a single image visible beside hundreds.
          return `M${i * width + 1} ${MIDDLE}v${scale * Math.sqrt(count)}h${width - 2}V${MIDDLE}Z`;
        })
        .join("");
    const up = -(MIDDLE - 4) / Math.sqrt(tallest);
    const down = (96 - MIDDLE) / Math.sqrt(Math.max(greatest(validation), 1));
    byId("bars-normal").setAttribute("d", bars(own, 0, split, up));
    byId("bars-anomaly").setAttribute("d", bars(own, split, BINS, up));
    byId("bars-validation").setAttribute("d", bars(validation, 0, BINS, down));
    const at = this.#shareOf(this.value) * STEPS;
    byId("chart-line").setAttribute("d", `M${at} 0V100`);
  }

  #bins(scores) {
    const counts = new Array(BINS).fill(0);
    for (const score of scores) counts[Math.min(Math.floor(this.#shareOf(score) * BINS), BINS - 1)] += 1;
    return counts;
  }
}

// Math.min(...values) fails for very many values.
const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const greatest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
