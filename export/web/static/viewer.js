// One image, large, with its heat map and what was found.

import { badge, byId, number, paint } from "./page.js";
import { kind } from "./results.js";

/** The longest side of the picture, in pixels. */
export const LONGEST = 1024;

export class Viewer {
  /** @param {object} model the contents of model.json. */
  constructor(model) {
    this.canvas = byId("picture");
    this.shown = null;
    const colours = model.heat_colours.map((colour) => `rgb(${colour.join(" ")})`);
    byId("gradient").style.background = `linear-gradient(to right, ${colours.join(", ")})`;
    byId("show-heat").addEventListener("change", () => this.#paint());
  }

  /**
   * Shows an image.
   *
   * @param {string} name
   * @param {object} found what Scorer.explain gave.
   * @param {number} threshold
   * @param {string} rate of a camera's frames; empty for files.
   */
  show(name, found, threshold, rate = "") {
    this.shown = { name, found };
    byId("viewer").hidden = false;
    byId("viewer-heading").textContent = name;
    byId("view-score").textContent = number(found.score);
    byId("view-probability").textContent = found.probability.toFixed(3);
    byId("view-time").textContent =
      `${found.latency.toFixed(0)} ms (model ${found.milliseconds.toFixed(1)} ms)${rate}`;
    this.decide(threshold);
    this.#paint();
  }

  /** Decides again, after the threshold was moved. */
  decide(threshold) {
    if (!this.shown) return;
    const { name, found } = this.shown;
    const decided = kind({ state: "scored", score: found.score }, threshold);
    if (byId("view-decision").dataset.kind !== decided) {
      byId("view-decision").dataset.kind = decided;
      byId("view-decision").replaceChildren(badge(decided));
    }
    this.canvas.setAttribute("aria-label", `${name}: ${decided}, score ${number(found.score)}`);
  }

  hide() {
    this.shown = null;
    byId("viewer").hidden = true;
  }

  #paint() {
    if (!this.shown) return;
    const { picture, overlay } = this.shown.found;
    paint(this.canvas, byId("show-heat").checked ? overlay : picture);
  }
}
