// Loads the page anew when something happened, and says so when the live line is gone. Nothing typed is lost: while a
// form has text in it, the page waits until it is sent.
const newest = Number(document.currentScript.dataset.newest);
const gone = document.getElementById("line-gone");
const SILENT_MS = 2200; // the gateway beats each second; the band is there within 3 s
let heard = Date.now();
let changed = false;

const typing = () =>
  [...document.querySelectorAll("main input:not([type=hidden]), main select")].some((field) => field.value !== "");

const renew = () => {
  if (changed && !typing()) location.reload();
};

const source = new EventSource(`/live?seen=${newest}`);
const hear = () => {
  heard = Date.now();
  gone.hidden = true;
};
source.addEventListener("beat", hear);
source.addEventListener("error", () => {
  gone.hidden = false; // the browser tries again by itself
});
source.addEventListener("change", () => {
  hear();
  changed = true;
  renew();
});

const ages = () => {
  for (const each of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, Math.round(Date.now() / 1000 - Number(each.dataset.since)));
    each.textContent = ` · ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
};
setInterval(() => {
  if (Date.now() - heard > SILENT_MS) gone.hidden = false;
  ages();
  renew();
}, 500);
ages();
