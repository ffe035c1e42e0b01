// A service worker: adds the headers with which browsers allow threads to the site's own answers.
// Plain file servers do not send them. It keeps nothing, and asks no other server.

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  if (event.request.url.startsWith(self.location.origin)) event.respondWith(answer(event.request));
});

async function answer(request) {
  const response = await fetch(request);
  const { body, status, statusText, headers } = response;
  if (status === 0) return response; // a redirection, which the browser follows itself
  const more = new Headers(headers);
  for (const [name, value] of Object.entries(HEADERS)) more.set(name, value);
  return new Response(body, { status, statusText, headers: more });
}
