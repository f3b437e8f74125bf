// The timeline of each alarm as a row: what the gateway recorded, and what the board's light said.
import { stages, words } from "/static/page.js";

const place = document.getElementById("alarms");
const LAMPS = { pressed: ["sending", "test sending"], received: ["received", "test received"] };

const element = (name, text, kind = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = kind;
  return made;
};

const seconds = (ms) => {
  if (ms < 0) return words.before;
  if (ms < 100_000) return `${(ms / 1000).toFixed(2)} s`;
  const whole = Math.round(ms / 1000);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
};

const clock = (ms) => new Date(ms).toLocaleTimeString(document.documentElement.lang, { hour12: false });

const rowOf = (alarm) => {
  const row = document.createElement("tr");
  row.dataset.alarm = alarm.alarm ?? "";
  row.dataset.board = alarm.board;
  const about = element("th", "");
  about.scope = "row";
  about.append(element("strong", alarm.board));
  if (alarm.test) about.append(" ", element("span", words.test, "badge"));
  about.append(element("span", clock(alarm.pressed_at), "small"));
  row.append(about);
  for (const stage of stages) {
    const cell = document.createElement("td");
    cell.dataset.stage = stage;
    const at = alarm.stages[stage];
    if (at !== undefined) {
      cell.classList.add("done");
      cell.dataset.ms = at;
      cell.append(element("span", stage === "pressed" ? "0" : seconds(at)));
    }
    const lamp = (LAMPS[stage] ?? [stage]).find((word) => word in alarm.shown);
    if (lamp) {
      const shone = element("span", seconds(alarm.shown[lamp]), "lamp");
      shone.title = `${words.light}: ${words[lamp]}`;
      cell.dataset.lampMs = alarm.shown[lamp];
      cell.append(shone);
    }
    row.append(cell);
  }
  return row;
};

export const showAlarms = (alarms) => {
  if (!alarms.length) return;
  place.replaceChildren(...alarms.map(rowOf));
};
