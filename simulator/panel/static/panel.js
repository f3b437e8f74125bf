// Keeps the page as new as the panel: hears its live line, gives each part what it shows, says when a line is gone.
import { showAlarms } from "/static/alarms.js";
import { addLine, lit, release, setLines, showBoards } from "/static/boards.js";
import { showPlaces } from "/static/map.js";
import { line, words } from "/static/page.js";
import { showRuns } from "/static/runs.js";
import { silence } from "/static/sound.js";

const SILENT_MS = 2500; // the panel beats each second
const LOOK_EVERY_MS = 250;
const REOPEN_MS = 1000;
const gone = document.getElementById("line-gone");
const worldGone = document.getElementById("world-gone");
const trouble = document.getElementById("trouble");
let heard = Date.now();
let source = null;

const show = {
  boards: (boards) => {
    showBoards(boards);
    showPlaces(boards);
  },
  alarms: showAlarms,
  runs: showRuns,
  world: (here) => {
    worldGone.hidden = here;
    document.body.classList.toggle("stale", !here);
    if (!here) silence();
  },
  trouble: (text) => {
    trouble.hidden = !text;
    trouble.textContent = text ?? "";
  },
};

const on = (name, then) =>
  source.addEventListener(name, (event) => {
    heard = Date.now();
    gone.hidden = true;
    then(event.data ? JSON.parse(event.data) : null);
  });

const listen = () => {
  source?.close();
  heard = Date.now();
  source = new EventSource("/live");
  on("beat", () => {});
  on("hello", ({ page, consoles, ...state }) => {
    if (page) line.page = page;
    for (const [name, value] of Object.entries(state)) show[name](value);
    for (const [board, lines] of Object.entries(consoles)) setLines(board, lines);
    document.body.dataset.ready = "yes";
  });
  on("pin", ({ board, ...pins }) => lit(board, pins));
  on("console", ({ board, text }) => addLine(board, text));
  for (const [name, then] of Object.entries(show)) on(name, then);
  source.addEventListener("error", release);
};

setInterval(() => {
  const silent = Date.now() - heard;
  if (silent > SILENT_MS) {
    gone.hidden = false;
    silence();
  }
  // A browser gives up on a line that was refused; we do not.
  if (silent > SILENT_MS + REOPEN_MS && source.readyState === EventSource.CLOSED) listen();
}, LOOK_EVERY_MS);

if (words) listen();
