// A card for each board: its button, light, buzzer, facts, switches and console.
import { ask, askBeside, line, words } from "/static/page.js";
import { sound } from "/static/sound.js";

const LINES = 200;
const KEYS = 9;
const place = document.getElementById("boards");
const template = document.getElementById("card");
const cards = new Map();
const held = new Map(); // what holds a button: "pointer citizen-1", "Digit1" ... -> board

const hold = (by, board) => {
  if (held.has(by) || !cards.has(board)) return;
  const first = ![...held.values()].includes(board);
  held.set(by, board);
  if (first) ask(`/boards/${board}/contact`, { down: true, page: line.page });
};

const letGo = (by) => {
  const board = held.get(by);
  if (!held.delete(by)) return;
  if (![...held.values()].includes(board)) ask(`/boards/${board}/contact`, { down: false, page: line.page });
};

export const release = () => {
  for (const by of [...held.keys()]) letGo(by);
};

const make = (name, number) => {
  const card = template.content.firstElementChild.cloneNode(true);
  const find = (selector) => card.querySelector(selector);
  card.id = `board-${name}`;
  card.dataset.board = name;
  find("h2").textContent = name;
  find("h2").id = `title-${name}`;
  card.setAttribute("aria-labelledby", `title-${name}`);
  find(".badge").textContent = words.silent;
  for (const fact of ["buzzer", "battery", "place"]) find(`.t-${fact}`).textContent = words[fact];
  const push = find(".push");
  push.setAttribute("aria-label", words.press.replace("{board}", name));
  if (number <= KEYS) {
    find("kbd").textContent = number;
    push.setAttribute("aria-keyshortcuts", number);
  } else {
    find("kbd").remove();
  }
  push.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    push.setPointerCapture(event.pointerId);
    hold(`pointer ${name}`, name);
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    push.addEventListener(kind, () => letGo(`pointer ${name}`));
  }
  push.addEventListener("contextmenu", (event) => event.preventDefault());
  push.addEventListener("keydown", (event) => {
    if (![" ", "Enter"].includes(event.key)) return;
    event.preventDefault();
    if (!event.repeat) hold(`focus ${name}`, name);
  });
  push.addEventListener("keyup", (event) => [" ", "Enter"].includes(event.key) && letGo(`focus ${name}`));
  push.addEventListener("blur", () => letGo(`focus ${name}`));
  const thrice = find(".thrice");
  thrice.setAttribute("aria-label", `${words.thrice}: ${name}`);
  thrice.title = words.thrice;
  thrice.addEventListener("click", async () => {
    thrice.disabled = true;
    await askBeside(`/boards/${name}/press`, {});
    thrice.disabled = false;
    thrice.focus();
  });
  for (const plug of card.querySelectorAll("[data-plug]")) {
    const what = plug.dataset.plug;
    plug.nextElementSibling.textContent = words[what];
    plug.setAttribute("aria-label", `${words[what]}: ${name}`);
    plug.addEventListener("change", async () => {
      const wanted = plug.checked;
      if (!(await askBeside(`/boards/${name}/${what}`, { on: wanted }))) plug.checked = !wanted;
    });
  }
  find(".console").setAttribute("aria-label", words.console.replace("{board}", name));
  place.append(card);
  const parts = { push, led: find(".led"), buzzer: find(".buzzer"), sounds: find(".buzzer span") };
  return { card, find, ...parts, console: find(".console"), silent: false };
};

const wordOf = (board) => {
  if (board.state === "running") return words[board.word] ?? (board.silent ? words.idle_silent : words.idle);
  return words[board.state] ?? board.state;
};

const batteryOf = ({ battery_mv }) => {
  if (battery_mv === null) return words.unknown;
  return battery_mv === 0 ? words.not_measured : `${(battery_mv / 1000).toFixed(2)} V`;
};

const placeOf = (board) => {
  const said = (where) => where.map((degrees) => degrees.toFixed(5)).join(", ");
  if (board.position) return said(board.position);
  if (board.gps) return words.no_fix;
  return board.site ? `${said(board.site)} (${words.site})` : words.no_gps;
};

const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

export const lit = (name, { led, tone_hz, is_down }) => {
  const one = cards.get(name);
  if (!one) return;
  one.led.classList.toggle("on", led);
  one.card.dataset.led = led ? "on" : "off";
  one.buzzer.classList.toggle("on", tone_hz > 0);
  put(one.sounds, tone_hz ? `${words.sounds}, ${tone_hz} Hz` : words.quiet);
  one.push.setAttribute("aria-pressed", is_down);
  sound(name, tone_hz);
};

export const showBoards = (boards) => {
  const names = boards.map((board) => board.name);
  for (const [name, one] of cards) {
    if (names.includes(name)) continue;
    one.card.remove();
    cards.delete(name);
  }
  boards.forEach((board, index) => {
    if (!cards.has(board.name)) cards.set(board.name, make(board.name, index + 1));
    const { card, find } = cards.get(board.name);
    card.dataset.state = board.state;
    card.dataset.word = board.word ?? "";
    put(find(".owner"), board.owner ?? "");
    find(".badge").hidden = !board.silent;
    put(find(".word"), wordOf(board));
    put(find(".battery"), batteryOf(board));
    put(find(".place"), placeOf(board));
    const plugs = { power: board.state !== "off", wifi: board.wifi, sky: board.sky };
    for (const plug of card.querySelectorAll("[data-plug]")) plug.checked = plugs[plug.dataset.plug];
    find("[data-plug=sky]").parentElement.hidden = !board.gps;
    lit(board.name, board);
  });
};

export const setLines = (name, lines) => {
  const one = cards.get(name);
  if (!one) return;
  one.console.replaceChildren();
  for (const text of lines) addLine(name, text);
};

export const addLine = (name, text) => {
  const one = cards.get(name);
  if (!one) return;
  const at = one.console;
  const follows = at.scrollHeight - at.scrollTop - at.clientHeight < 30;
  const row = document.createElement("span");
  row.textContent = `${text}\n`;
  at.append(row);
  while (at.childElementCount > LINES) at.firstElementChild.remove();
  if (follows) at.scrollTop = at.scrollHeight;
};

const boardOf = (event) => {
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  return digit ? [...cards.keys()][Number(digit[1]) - 1] : undefined;
};

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("input[type=number]")) return;
  const board = boardOf(event);
  if (!board) return;
  cards.get(board).push.focus({ focusVisible: true });
  hold(event.code, board);
});
document.addEventListener("keyup", (event) => letGo(event.code));
window.addEventListener("blur", release);
document.addEventListener("visibilitychange", () => document.hidden && release());
