// Images of the next samples, fetched and decoded before they are needed.

const KEPT = 40; // decoded images

const pictures = new Map(); // key -> {image, isReady, loaded}

export function address(key, { full = false } = {}) {
  return `/sample/${encodeURIComponent(key)}${full ? "?full=1" : ""}`;
}

/** Returns the picture of a sample, fetching it if need be. */
export function picture(item) {
  let found = pictures.get(item.key);
  if (!found) {
    const image = new Image();
    image.src = address(item.key);
    image.alt = `Sample ${item.id}`;
    image.draggable = false;
    found = { image, isReady: false };
    found.loaded = image.decode().then(() => {
      found.isReady = true;
    });
    found.loaded.catch(() => pictures.delete(item.key)); // fetched again when shown again
  }
  pictures.delete(item.key); // the latest used comes last
  pictures.set(item.key, found);
  for (const key of pictures.keys()) {
    if (pictures.size <= KEPT) break;
    pictures.delete(key);
  }
  return found;
}

/** Fetches the pictures of samples that will be shown soon. */
export function prefetch(items) {
  for (const item of items) if (item.kind === "image") picture(item);
}
