// Reads the chosen files, several at a time: each request to the browser costs more than the reading
// of a small file.

const MOST_FILES = 16;
const MOST_BYTES = 4e6;

/**
 * Takes the next files from the queue and reads them.
 *
 * @param {{file: File}[]} queue results that are waiting; those taken are removed.
 * @returns {Promise<{result: object, bytes?: Uint8Array, error?: Error}[]>}
 */
export async function readSome(queue) {
  const taken = [];
  let size = 0;
  while (queue.length && taken.length < MOST_FILES && size < MOST_BYTES) {
    size += queue[0].file.size;
    taken.push(queue.shift());
  }
  try {
    return await readTogether(taken);
  } catch {
    // One of them is gone or may not be read: which one?
    return Promise.all(taken.map(readAlone));
  }
}

/** A file's bytes. @throws {Error} if it is gone or may not be read. */
export async function readFile(file) {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new Error("expected a file that can be read. Received: one that is gone or protected");
  }
}

async function readTogether(taken) {
  const whole = await new Blob(taken.map(({ file }) => file)).arrayBuffer();
  let end = 0;
  return taken.map((result) => {
    const start = end;
    end += result.file.size;
    // A copy, which can be handed over to the worker.
    return { result, bytes: new Uint8Array(whole.slice(start, end)) };
  });
}

async function readAlone(result) {
  try {
    return { result, bytes: await readFile(result.file) };
  } catch (error) {
    return { result, error };
  }
}
