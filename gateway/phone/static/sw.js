// Keeps the page for when nobody answers, and sends what a closed page left behind, when there is a network.

import { about, kindOf } from "./static/messages.js";
import { keysOf, opened, signed } from "./static/keys.js";
import * as store from "./static/store.js";
import { post } from "./static/post.js";

const CACHE = "sigap-sos-DIGEST"; // of all files, put in by the gateway: a new one is fetched whole, then used
const SHELL = [
  "./",
  "manifest.webmanifest",
  "static/sos.css",
  "static/icon.svg",
  ...["page", "enrol", "sos", "keys", "store", "messages", "post", "ways", "taps", "signals"].map(
    (name) => `static/${name}.js`,
  ),
  "static/vendor/mqtt.esm.js",
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const path = url.pathname.slice(new URL(self.registration.scope).pathname.length);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  if (!SHELL.includes(path || "./")) return;
  event.respondWith(kept(event, path || "./"));
});

// What is kept, at once. The page itself is looked for anew beside, for the next time: its words may be in another
// language then.
async function kept(event, path) {
  const cache = await caches.open(CACHE);
  const found = await cache.match(path);
  if (found && path !== "./") return found;
  const fresh = fetch(event.request).then((answer) => {
    if (answer.ok) event.waitUntil(cache.put(path, answer.clone()));
    return answer;
  });
  if (!found) return fresh;
  const spare = found.clone();
  const or = fresh.catch((error) => {
    console.info("as it was kept", error);
    return spare;
  });
  event.waitUntil(or);
  return new URL(event.request.url).searchParams.has("l") ? or : found;
}

self.addEventListener("sync", (event) => {
  if (event.tag === "sos") event.waitUntil(sendLeftBehind());
});

async function sendLeftBehind() {
  // An open page does it itself, and better.
  if ((await self.clients.matchAll({ type: "window" })).length) return;
  const who = await store.identity();
  if (!who) return;
  const keys = await keysOf(who.root, who.phone);
  for (const alarm of await store.allAlarms()) {
    if (alarm.stage >= 0) continue;
    const message = await about(who.phone, kindOf(alarm), alarm, null, null);
    const answers = await post(who.phone, await signed(keys.up, message));
    if (!answers) throw new Error("not through yet: the browser calls again");
    for (const each of answers) {
      const status = await opened(keys.down, each);
      if (status?.activation !== alarm.activation) continue;
      await store.changeAlarm(alarm.activation, (now) => ({
        ...now,
        stage: Math.max(now.stage, 0),
        times: { ...now.times, receipt: now.times.receipt ?? Date.now() },
      }));
    }
  }
}
