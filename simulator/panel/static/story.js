// The page of a story: hears its course, shows clock, map, buttons and events, and steers its speed.
import { showCast } from "/static/cast.js";
import { showPlaces } from "/static/map.js";
import { askBeside, words } from "/static/page.js";
import { showResult } from "/static/verdict.js";

const SILENT_MS = 2500; // the panel beats each second
const MOST_EVENTS = 300;
const MANY = 12; // more names than this would cover the map
const { run, lengthS } = document.body.dataset;
const find = (id) => document.getElementById(id);
const boards = new Map();
const rows = new Map(); // an event's number -> its row
const speeds = [...document.querySelectorAll("[data-speed]")];
let now = { at_s: 0, speed: null, state: "running" };
let heard = Date.now();
let source = null;

const clockOf = (seconds) => {
  const tenths = Math.floor(seconds * 10);
  const part = (value) => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(tenths / 36_000), Math.floor(tenths / 600) % 60, Math.floor(tenths / 10) % 60];
  return `${h ? `${h}:${part(m)}` : m}:${part(s)}.${tenths % 10}`;
};

const showClock = () => {
  find("clock").textContent = words.of_story.replace("{at}", clockOf(now.at_s)).replace("{length}", clockOf(Number(lengthS)));
  find("clock").dataset.atS = now.at_s;
  find("done").style.width = `${Math.min(1, now.at_s / lengthS) * 100}%`;
  const is = now.state === "running" && now.speed === 0 ? words.paused : words[now.state === "failed" ? "failed_run" : now.state];
  find("state").textContent = is ?? now.state;
  document.body.dataset.state = now.state;
  const wanted = now.speed === null ? "" : String(now.speed);
  for (const button of speeds) {
    button.setAttribute("aria-pressed", now.state === "running" && button.dataset.speed === wanted);
    button.disabled = now.state !== "running";
  }
  find("end").disabled = now.state !== "running";
};

const showServices = (services) =>
  find("services").replaceChildren(
    ...Object.entries(services).map(([name, state]) => {
      const item = document.createElement("li");
      item.dataset.service = name;
      item.dataset.state = state;
      item.textContent = `${words[`service.${name}`]}: ${words[`is.${state}`] ?? state}`;
      return item;
    }),
  );

const said = ({ key, who, more, ...rest }) => {
  const whom = more ? words.and_more.replace("{who}", who).replace("{more}", more) : who;
  return (words[`event.${key}`] ?? key).replace(/\{(\w+)\}/g, (all, name) => (name === "who" ? whom : rest[name] ?? all));
};

const showEvents = (events) => {
  const list = find("events");
  for (const event of events) {
    if (!rows.has(event.number)) {
      const row = document.createElement("li");
      rows.set(event.number, row);
      list.prepend(row);
    }
    const time = document.createElement("time");
    time.textContent = clockOf(event.at_s);
    const row = rows.get(event.number);
    row.dataset.key = event.key;
    row.replaceChildren(time, ` ${said(event)}`);
  }
  for (const [number, row] of rows) {
    if (rows.size <= MOST_EVENTS) break;
    row.remove();
    rows.delete(number);
  }
};

const show = ({ whole, boards: changed, events, services, ...course }) => {
  if (whole) {
    boards.clear();
    rows.clear();
    find("events").replaceChildren();
  }
  for (const board of changed) boards.set(board.name, board);
  now = course;
  showClock();
  showServices(services);
  showEvents(events);
  if (changed.length || whole) {
    const all = [...boards.values()];
    showCast(all);
    showPlaces(all, { lamps: true, named: all.length <= MANY });
  }
  if ("result" in course) showResult(course);
  document.body.dataset.ready = "yes";
};

const listen = () => {
  source?.close();
  heard = Date.now();
  source = new EventSource(`/stories/${run}/live`);
  const on = (name, then) =>
    source.addEventListener(name, (event) => {
      heard = Date.now();
      find("line-gone").hidden = true;
      then(event.data ? JSON.parse(event.data) : null);
    });
  on("beat", () => {});
  on("course", show);
};

for (const button of speeds) {
  const { speed } = button.dataset;
  button.addEventListener("click", () => askBeside(`/stories/${run}/speed`, { speed: speed === "" ? null : Number(speed) }));
}
find("end").addEventListener("click", () => askBeside(`/stories/${run}/end`));

setInterval(() => {
  const silent = Date.now() - heard;
  if (silent > SILENT_MS) find("line-gone").hidden = false;
  // A browser gives up on a line that was refused; we do not.
  if (silent > 2 * SILENT_MS && source.readyState === EventSource.CLOSED) listen();
}, 250);

showClock();
listen();
