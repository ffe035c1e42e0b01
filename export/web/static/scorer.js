// The page's end of worker.js: one promise for each request.

/** Scores images in a worker. */
export class Scorer {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #next = 0;

  /**
   * @param {object} model the contents of model.json.
   * @param {(share: number) => void} onProgress is told how much has been loaded, 0 to 1.
   */
  constructor(model, onProgress) {
    this.#worker.onmessage = ({ data }) => {
      if (data.progress !== undefined) return onProgress(data.progress);
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error === undefined) resolve(data.result);
      else reject(new Error(data.error));
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(event.message));
      this.#waiting.clear();
    };
    /** Resolves when images can be scored. */
    this.ready = this.#ask("load", { model });
  }

  /** The score of a file's bytes: {score, probability, milliseconds, statistics, thumbnail}. */
  score(bytes) {
    return this.#ask("score", { source: bytes }, [bytes.buffer]);
  }

  /**
   * A file's bytes or a frame of the camera with and without its anomaly map: {score, probability, milliseconds, latency,
   * picture, overlay}. `latency` is the time from the file to the score.
   */
  explain(source, longest) {
    const transfer = [source instanceof ImageBitmap ? source : source.buffer];
    return this.#ask("explain", { source, longest }, transfer);
  }

  #ask(task, values, transfer = []) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, task, ...values }, transfer);
    });
  }
}
