// Scores the camera's picture, frame after frame.

import { byId } from "./page.js";
import { LONGEST } from "./viewer.js";

export class Camera {
  /**
   * @param {import("./scorer.js").Scorer} scorer
   * @param {(found: object, rate: string) => void} onFrame
   * @param {(file: File) => void} onKeep is given a frame that the user wants to keep.
   * @param {(message: string) => void} onEnd is told why the camera stopped by itself.
   */
  constructor(scorer, onFrame, onKeep, onEnd) {
    Object.assign(this, { scorer, onFrame, onKeep, onEnd, stream: null, isStarting: false, kept: 0 });
    this.video = document.createElement("video");
    this.video.muted = this.video.playsInline = true;
    byId("keep").addEventListener("click", () => this.#keep());
  }

  get isOn() {
    return this.stream !== null;
  }

  /**
   * To be called once at a time: the first of two streams could never be stopped.
   *
   * @throws {Error} if there is no camera, or it may not be used.
   */
  async start() {
    this.isStarting = true;
    try {
      await this.#open();
    } finally {
      this.isStarting = false;
    }
  }

  async #open() {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers allow the camera only on pages from https or this machine.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      const reason = error.name === "NotAllowedError" ? "It was not allowed." : error.message;
      throw new Error(`The camera cannot be used. ${reason}`);
    }
    this.video.srcObject = this.stream;
    await this.video.play();
    this.#show();
    const stream = this.stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => {
      this.#end(stream, "It was disconnected, or is no longer allowed.");
    });
    this.#watch(stream).catch((error) => this.#end(stream, error.message));
  }

  #end(stream, reason) {
    if (this.stream !== stream) return; // it was stopped before
    this.stop();
    this.onEnd(`The camera has stopped. ${reason}`);
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.#show();
  }

  #show() {
    byId("keep").hidden = !this.isOn;
    byId("camera").textContent = this.isOn ? "Stop the camera" : "Use the camera";
  }

  async #watch(stream) {
    while (this.stream === stream) {
      const began = performance.now();
      const frame = await createImageBitmap(this.video);
      const found = await this.scorer.explain(frame, LONGEST);
      if (this.stream !== stream) return;
      const rate = 1000 / (performance.now() - began);
      this.onFrame(found, `, ${rate.toFixed(1)} frames/s`);
      // The browser needs a moment to draw.
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  }

  /** A kept frame is a PNG file like any other. */
  async #keep() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.video.videoWidth, this.video.videoHeight];
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    this.kept += 1;
    this.onKeep(new File([blob], `camera-${this.kept}.png`, { type: "image/png" }));
  }
}
