// What came of a story: expectations, promises, and what broke.
import { words } from "/static/page.js";

const find = (id) => document.getElementById(id);

const item = (mark, text, more = "") => {
  const made = document.createElement("li");
  made.dataset.mark = mark;
  const sign = document.createElement("strong");
  sign.textContent = { held: words.held, broke: words.broke, none: words.not_met }[mark];
  const rest = document.createElement("span");
  rest.textContent = text;
  const small = document.createElement("span");
  small.className = "small";
  small.textContent = more;
  made.append(sign, " ", rest, " ", small);
  return made;
};

const inWords = (what) =>
  Object.entries(what)
    .map(([key, value]) => `${key}: ${Array.isArray(value) ? value.join(", ") : value}`)
    .join(" · ");

const promiseOf = ({ promise }) => words[`promise.${promise}`] ?? promise;

export const showResult = ({ state, why, result }) => {
  find("result").hidden = false;
  find("verdict").textContent = words[state === "failed" ? "failed_run" : state] ?? state;
  if (!result) {
    if (state === "failed") find("verdict").textContent += `: ${why}`;
    return;
  }
  const broken = (name) => result.broken.some(({ promise }) => promise === name);
  find("broken").replaceChildren(
    ...result.broken.map((each) =>
      item("broke", promiseOf(each), words.at.replace("{at_s}", each.at_s.toFixed(1)).replace("{why}", each.why)),
    ),
  );
  const expected = result.expected.map(({ what, held }) => item(held ? "held" : "broke", inWords(what)));
  find("expected").replaceChildren(...expected);
  if (!expected.length) find("expected").textContent = words.no_expectations;
  find("promises").replaceChildren(
    ...Object.entries(result.checked).map(([promise, count]) =>
      item(
        broken(promise) ? "broke" : count ? "held" : "none",
        promiseOf({ promise }),
        count ? words.times.replace("{count}", count) : "",
      ),
    ),
  );
};
