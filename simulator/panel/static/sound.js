// The buzzers, as loud tones of the browser while somebody has turned the sound on.
import { words } from "/static/page.js";

const VOLUME = 0.15;
const toggle = document.getElementById("sound");
const sounding = new Map(); // board -> [oscillator, hertz]
let context = null;

const end = (board) => {
  sounding.get(board)?.[0].stop();
  sounding.delete(board);
};

export const silence = () => {
  for (const board of [...sounding.keys()]) end(board);
};

export const sound = (board, hertz) => {
  if (toggle.getAttribute("aria-pressed") !== "true") return;
  if (sounding.get(board)?.[1] === hertz) return;
  end(board);
  if (!hertz) return;
  const oscillator = context.createOscillator();
  const volume = context.createGain();
  oscillator.frequency.value = hertz;
  volume.gain.value = VOLUME;
  oscillator.connect(volume).connect(context.destination);
  oscillator.start();
  sounding.set(board, [oscillator, hertz]);
  toggle.dataset.played = Number(toggle.dataset.played ?? 0) + 1;
};

toggle.addEventListener("click", async () => {
  const on = toggle.getAttribute("aria-pressed") !== "true";
  context ??= new AudioContext();
  if (on) await context.resume();
  else silence();
  toggle.setAttribute("aria-pressed", on);
  toggle.textContent = on ? words.sound_on : words.sound_off;
});
