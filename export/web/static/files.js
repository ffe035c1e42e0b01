// Finds the images among what was chosen or dropped, by the same rules as runtime.py.

/**
 * @typedef {{name: string, file: File}} Found
 * @typedef {{images: Found[], skipped: number}} Finding `skipped` counts files in folders that are
 *   hidden, left by a system or tool, or no images.
 */

/** The files of an input element. Those of a folder have a path. @returns {Finding} */
export function fromInput(files, model) {
  return sorted(Array.from(files, (file) => ({ name: file.webkitRelativePath || file.name, file })), model);
}

/** What was dropped: files, and folders at any depth. @returns {Promise<Finding>} */
export async function fromDrop(transfer, model) {
  // Entries must be asked for before the first wait.
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  while (entries.length) {
    const entry = entries.shift();
    const path = entry.fullPath.replace(/^\//, "");
    if (entry.isDirectory) {
      entries.push(...(await readAll(entry.createReader())));
    } else {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      found.push({ name: path, file: file ?? new File([], path) });
    }
  }
  return sorted(found, model);
}

/** A folder's reader gives its entries in parts, at last an empty one. */
async function readAll(reader) {
  const entries = [];
  for (;;) {
    const part = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!part.length) return entries;
    entries.push(...part);
  }
}

/** Leaves out what is no image. Files named by themselves are all kept: each gets a record. */
function sorted(found, { suffixes, litter }) {
  const isImage = ({ name }) => {
    const parts = name.split("/");
    if (parts.length === 1) return true;
    // The folder that was chosen may have any name.
    const inner = parts.slice(1);
    if (inner.some((part) => part.startsWith(".") || litter.includes(part.toLowerCase()))) return false;
    return suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));
  };
  const images = found.filter(isImage);
  images.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  return { images, skipped: found.length - images.length };
}
