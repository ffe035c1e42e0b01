// All images of this visit and what was found about each.

/**
 * @typedef {object} Result
 * @property {string} name path within what was chosen.
 * @property {File} file
 * @property {"waiting" | "scored" | "error"} state
 * @property {number} [score] @property {number} [probability]
 * @property {number} [milliseconds] in the model.
 * @property {ImageData} [thumbnail] with its heat map.
 * @property {Object<string, number>} [statistics] see shift.js.
 * @property {string} [error]
 */

export class Results {
  /** @type {Result[]} in the order in which they were added. */
  all = [];

  add({ name, file }) {
    const result = { name, file, state: "waiting" };
    this.all.push(result);
    return result;
  }

  /** How many there are of each: {waiting, error, normal, anomaly}. */
  counts(threshold) {
    const counts = { waiting: 0, error: 0, normal: 0, anomaly: 0 };
    for (const result of this.all) counts[kind(result, threshold)] += 1;
    return counts;
  }

  scores() {
    return this.all.filter(({ state }) => state === "scored").map(({ score }) => score);
  }

  /** Statistics of all images that were scored. */
  statistics() {
    return this.all.map(({ statistics }) => statistics).filter(Boolean);
  }

  /** Those that the table shows, in its order. */
  select(show, order, threshold) {
    const shown = this.all.filter((result) => {
      const found = kind(result, threshold);
      return found !== "waiting" && (show === "all" || show === found);
    });
    if (order === "name") shown.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    // Files that could not be scored come first: someone has to look at them.
    if (order === "score") shown.sort((a, b) => (b.score ?? Infinity) - (a.score ?? Infinity) || 0);
    return shown;
  }

  /** The table as CSV: runtime.py's columns but `map`, the threshold that was set, and the model's time. */
  csv(threshold) {
    const rows = [["path", "score", "probability", "is_anomaly", "threshold", "model_milliseconds", "error"]];
    for (const result of this.all) {
      if (result.state === "error") rows.push([result.name, "", "", "", "", "", result.error]);
      if (result.state !== "scored") continue;
      const { name, score, probability, milliseconds } = result;
      const decision = score > threshold ? "True" : "False";
      rows.push([name, score, probability, decision, threshold, milliseconds.toFixed(2), ""]);
    }
    return rows.map((row) => row.map(quote).join(",") + "\r\n").join("");
  }
}

/** "waiting", "error", "normal" or "anomaly". */
export function kind({ state, score }, threshold) {
  if (state !== "scored") return state;
  return score > threshold ? "anomaly" : "normal";
}

function quote(value) {
  const text = `${value}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
