// Scenarios: a button starts one, and what was started is shown with how it does.
import { askBeside, words } from "/static/page.js";

const place = document.getElementById("runs");
const STATES = { running: words.running, passed: words.passed, failed: words.failed_run };

const rowOf = ({ name, seed, state }) => {
  const row = document.createElement("li");
  row.dataset.state = state.state;
  const { state: word, ...rest } = state;
  const texts = Object.entries(rest)
    .filter(([, value]) => ["string", "number"].includes(typeof value))
    .map(([key, value]) => `${key}: ${value}`);
  row.textContent = [`${name} (${seed})`, STATES[word] ?? word, ...texts].join(" · ");
  return row;
};

export const showRuns = (runs) => place?.replaceChildren(...runs.map(rowOf));

for (const button of document.querySelectorAll("[data-scenario]")) {
  button.addEventListener("click", () => {
    const seed = Number(document.getElementById("seed").value);
    askBeside("/scenarios", { name: button.dataset.scenario, seed });
  });
}
