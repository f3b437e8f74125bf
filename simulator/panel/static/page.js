// What the scripts share: the page's words, its number at the panel, and how it asks for a change.
export const words = JSON.parse(document.body.dataset.words);
export const stages = JSON.parse(document.body.dataset.stages);
export const line = { page: null };

const trouble = document.getElementById("trouble");
let last = Promise.resolve();

const send = async (path, fields = {}) => {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(fields),
    });
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) return said;
    throw new Error(said.error ?? `HTTP ${answer.status}`);
  } catch (error) {
    trouble.textContent = words.refused.replace("{why}", error.message);
    trouble.hidden = false;
    setTimeout(() => (trouble.hidden = true), 6000);
    return false;
  }
};

// One after the other, so that a thumb that goes up does not overtake the one that came down.
export const ask = (path, fields) => (last = last.then(() => send(path, fields)));

// Beside the others: a press of a second holds nothing up. Gives what was answered, or false.
export const askBeside = send;
