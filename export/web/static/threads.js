// How many threads score, and the headers that browsers ask for before they allow several.

const MOST = 4;
const SHARED_PIXELS = 2 ** 14; // of an image; below, one thread is as fast, as in runtime.py
const TRIED = "asked for threads";

/** Threads that answer one image soonest. */
export function threadsFor({ image_shape: [height, width] }) {
  if (height * width < SHARED_PIXELS) return 1;
  return Math.min(navigator.hardwareConcurrency, MOST);
}

/**
 * Loads the page once more, by way of headers.js, if that allows threads which help.
 *
 * @returns {Promise<boolean>} whether it is about to be loaded again.
 */
export async function reloadForThreads(model) {
  if (self.crossOriginIsolated || threadsFor(model) === 1) return false;
  try {
    // Once: where it does not help, the page runs on one thread.
    if (sessionStorage.getItem(TRIED)) return false;
    sessionStorage.setItem(TRIED, "yes");
    await navigator.serviceWorker.register("headers.js");
    await navigator.serviceWorker.ready;
  } catch {
    return false; // not over HTTPS, or not allowed by the browser's settings
  }
  location.reload();
  return true;
}
