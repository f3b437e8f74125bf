// Keeps an open page as new as the gateway: hears the live line, puts what changed in its place, counts ages, and says
// when the line is gone. Nothing that is being typed is touched.
import { draw } from "/static/map.js";
import { ring } from "/static/sound.js";

const REOPEN_MS = 1000;
const LOOK_EVERY_MS = 250;
const SILENT_MS = 2000; // the gateway beats each second; the band is there within 3 s
const page = document.body.dataset.page;
const gone = document.getElementById("line-gone");
const badge = document.getElementById("unseen");
let seen = document.body.dataset.newest;
let heard = Date.now();
let source = null;
let late = false; // something changed while we were fetching

const isTouched = (part) =>
  part.contains(document.activeElement) ||
  [...part.querySelectorAll("input:not([type=hidden]), select")].some((field) => field.value !== "");

const put = (part, html) => {
  if (part.innerHTML === html || isTouched(part)) return;
  part.innerHTML = html;
};

const refresh = () => {
  count();
  draw();
};

const fetchAnew = async () => {
  if (fetchAnew.runs) {
    late = true;
    return;
  }
  fetchAnew.runs = true;
  try {
    do {
      late = false;
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected || !answer.ok) {
        location.reload(); // the session has ended, or there is something to be said
        return;
      }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        if (other) put(part, other.innerHTML);
      }
      refresh();
    } while (late);
  } catch (error) {
    gone.hidden = false; // the line says when it is back
  } finally {
    fetchAnew.runs = false;
  }
};

const showUnseen = (number) => {
  badge.hidden = number === 0;
  badge.firstElementChild.textContent = number;
  document.title = document.title.replace(/^(\(\d+\) )?/, number ? `(${number}) ` : "");
};

// The words first; map and sound when they are on the screen. A hidden page paints nothing, and sounds all the same.
const afterPaint = (then) => {
  if (document.hidden) then();
  else requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(then)));
};

const hear = () => {
  heard = Date.now();
  gone.hidden = true;
};

const listen = () => {
  if (source) source.close();
  heard = Date.now();
  source = new EventSource(`/live?page=${page}&seen=${seen}`);
  source.addEventListener("open", hear);
  source.addEventListener("beat", hear);
  const mine = source;
  mine.addEventListener("error", () => {
    // The gateway ends each line after a minute, and the browser opens the next by itself: no news, unless it cannot.
    setTimeout(() => {
      if (source === mine && mine.readyState !== EventSource.OPEN) gone.hidden = false;
    }, REOPEN_MS);
  });
  source.addEventListener("change", (event) => {
    hear();
    seen = event.lastEventId;
    const { unseen, queue } = JSON.parse(event.data);
    if (queue === undefined) {
      fetchAnew();
    } else {
      put(document.getElementById("queue"), queue);
      count();
    }
    showUnseen(unseen);
    afterPaint(() => {
      draw();
      ring(unseen > 0);
    });
  });
};

const count = () => {
  for (const each of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, Math.round(Date.now() / 1000 - Number(each.dataset.since)));
    each.textContent = ` · ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
};

// A browser opens few connections to one place: pages that nobody looks at give theirs back, but for the queue, which
// has to sound.
document.addEventListener("visibilitychange", () => {
  if (page === "queue") return;
  if (document.hidden) {
    source.close();
  } else {
    listen();
    fetchAnew();
  }
});

setInterval(() => {
  if (!document.hidden || page === "queue") {
    if (Date.now() - heard > SILENT_MS) gone.hidden = false;
    // A browser gives up on a line that was refused: the session has ended, which the page itself will tell, or too many
    // desks are open.
    if (source.readyState === EventSource.CLOSED && Date.now() - heard > SILENT_MS) {
      listen();
      fetchAnew();
    }
  }
  count();
}, LOOK_EVERY_MS);
listen();
refresh();
showUnseen(Number(document.body.dataset.unseen));
ring(Number(document.body.dataset.unseen) > 0);
