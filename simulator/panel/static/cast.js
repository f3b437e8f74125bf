// The buttons of a story as a table: light, word, what is wrong with each, and its stages.
import { words } from "/static/page.js";

const STAGES = ["received", "accepted", "acknowledged", "dispatched", "on_scene", "closed"];
const place = document.getElementById("cast");
const rows = new Map();

const make = (name) => {
  const row = document.createElement("tr");
  row.id = `board-${name}`;
  row.dataset.board = name;
  const head = document.createElement("th");
  head.scope = "row";
  const lamp = document.createElement("span");
  lamp.className = "lamp-now";
  const text = document.createElement("span");
  text.textContent = name;
  head.append(lamp, text);
  const says = document.createElement("td");
  const word = document.createElement("strong");
  const trouble = document.createElement("span");
  trouble.className = "small";
  says.append(word, trouble);
  row.append(head, says);
  const cells = STAGES.map((stage) => {
    const cell = document.createElement("td");
    cell.dataset.stage = stage;
    row.append(cell);
    return cell;
  });
  place.append(row);
  return { row, word, trouble, cells };
};

const wordOf = (board) => {
  if (board.state === "running") return words[board.word] ?? (board.silent ? words.idle_silent : words.idle);
  return words[board.state] ?? board.state;
};

const wrongOf = (board) => {
  const found = [];
  if (board.is_down) found.push(words.button_down);
  if (!board.wifi) found.push(words.no_wifi);
  if (board.line_is_bad) found.push(words.bad_line);
  if (board.sky && board.sky !== "open") found.push(words[`sky_${board.sky}`]);
  return found.join(" · ");
};

const seconds = (value) => (value === undefined ? "" : value < 100 ? value.toFixed(2) : value.toFixed(0));

const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

export const showCast = (boards) => {
  for (const board of boards) {
    if (!rows.has(board.name)) rows.set(board.name, make(board.name));
    const { row, word, trouble, cells } = rows.get(board.name);
    row.dataset.state = board.state;
    row.dataset.word = board.word ?? "";
    row.dataset.led = board.led ? "on" : "off";
    put(word, wordOf(board));
    put(trouble, wrongOf(board));
    for (const cell of cells) {
      put(cell, seconds(board.stages[cell.dataset.stage]));
      cell.classList.toggle("done", cell.dataset.stage in board.stages);
    }
  }
};
