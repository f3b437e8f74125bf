// Scenarios: a button starts one, and what was started is shown with how it does.
import { askBeside, words } from "/static/page.js";

const place = document.getElementById("runs");
const STATES = { running: words.running, passed: words.passed, failed: words.failed_run, ended: words.ended };

const rowOf = ({ id, name, seed, state }) => {
  const row = document.createElement("li");
  row.dataset.state = state.state;
  const { state: word, ...rest } = state;
  const texts = Object.entries(rest)
    .filter(([, value]) => ["string", "number"].includes(typeof value))
    .map(([key, value]) => `${key}: ${value}`);
  const about = document.createElement("span");
  about.textContent = [`${name} (${seed})`, STATES[word] ?? word, ...texts].join(" · ");
  const link = document.createElement("a");
  link.href = `/stories/${id}`;
  link.textContent = words.watch;
  row.append(about, link);
  return row;
};

export const showRuns = (runs) => place?.replaceChildren(...runs.map(rowOf));

for (const button of document.querySelectorAll("[data-scenario]")) {
  button.addEventListener("click", async () => {
    const seed = Number(document.getElementById("seed").value);
    const speed = document.getElementById("speed").value;
    const asked = { name: button.dataset.scenario, seed, speed: speed === "" ? null : Number(speed) };
    const answer = await askBeside("/scenarios", asked);
    if (answer) location.assign(`/stories/${answer.id}`);
  });
}
// Until now a click started nothing.
for (const section of document.querySelectorAll(".scenarios")) section.dataset.ready = "yes";
