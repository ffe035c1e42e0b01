// The table of results: as many rows as were asked for, so that thousands of images stay quick.

import { badge, byId, element, number, paint } from "./page.js";
import { kind } from "./results.js";

const PAGE = 50; // rows

export class Table {
  /** @param {(result: object) => void} onChoose is called when the user chooses a row. */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.length = PAGE;
    this.chosen = null;
    this.made = new Map(); // result -> its row, made once
    this.rows = byId("rows");
    this.rows.addEventListener("keydown", (event) => this.#move(event));
    byId("more").addEventListener("click", () => {
      this.length += PAGE;
      this.draw(this.results, this.threshold);
    });
  }

  /** Shows these results, in their order. */
  draw(results, threshold) {
    [this.results, this.threshold] = [results, threshold];
    const shown = results.slice(0, this.length).map((result) => this.#row(result, threshold));
    const focused = document.activeElement;
    // Rows that stay where they are keep the focus and the place on the screen.
    if (shown.length !== this.rows.children.length || shown.some((row, i) => row !== this.rows.children[i])) {
      this.rows.replaceChildren(...shown);
      if (this.rows.contains(focused)) focused.focus({ preventScroll: true });
    }
    byId("table").hidden = !results.length;
    const left = results.length - shown.length;
    byId("more").hidden = left <= 0;
    byId("more").textContent = `Show ${Math.min(left, PAGE)} more of ${left.toLocaleString("en")}`;
  }

  /** Marks the row of a result. */
  choose(result) {
    this.chosen = result;
    for (const [other, row] of this.made) row.classList.toggle("chosen", other === result);
    for (const [other, row] of this.made) {
      row.querySelector("button")?.setAttribute("aria-pressed", `${other === result}`);
    }
  }

  clear() {
    this.made.clear();
    this.length = PAGE;
  }

  #row(result, threshold) {
    let row = this.made.get(result);
    if (!row) {
      row = result.state === "error" ? errorRow(result) : this.#scoredRow(result);
      this.made.set(result, row);
    }
    const decided = kind(result, threshold);
    if (row.dataset.kind !== decided) {
      row.dataset.kind = decided;
      row.querySelector(".decision").replaceChildren(badge(decided));
    }
    return row;
  }

  #scoredRow(result) {
    const thumbnail = element("canvas", { className: "thumbnail", ariaHidden: "true" });
    paint(thumbnail, result.thumbnail);
    const name = element("button", { type: "button", textContent: result.name });
    name.setAttribute("aria-pressed", `${result === this.chosen}`);
    const row = element(
      "tr",
      { className: result === this.chosen ? "chosen" : "" },
      element("td", {}, thumbnail),
      element("th", { scope: "row" }, name),
      element("td", { className: "decision" }),
      element("td", { className: "number", textContent: number(result.score) }),
      element("td", { className: "number wide", textContent: result.probability.toFixed(3) }),
      element("td", { className: "number wide", textContent: result.milliseconds.toFixed(1) })
    );
    row.addEventListener("click", () => this.onChoose(result));
    return row;
  }

  /** Up and down go to the row above and below. */
  #move(event) {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    let row = step && event.target.closest("tr")[step];
    while (row && !row.querySelector("button")) row = row[step];
    if (!row) return;
    event.preventDefault();
    row.querySelector("button").focus();
    row.click();
  }
}

function errorRow(result) {
  const message = element("td", { className: "message", colSpan: 3, textContent: result.error });
  return element(
    "tr",
    {},
    element("td"),
    element("th", { scope: "row", textContent: result.name }),
    element("td", { className: "decision" }),
    message
  );
}
