// Two tones, again and again, while an emergency waits for somebody to see it; and a sign when the browser blocks sound.
const EVERY_MS = 2500;
const blocked = document.getElementById("sound-blocked");
let context = null;
let rings = false;

const tone = (hz, at) => {
  const oscillator = context.createOscillator();
  const volume = context.createGain();
  oscillator.frequency.value = hz;
  volume.gain.setValueAtTime(0, at);
  volume.gain.linearRampToValueAtTime(0.4, at + 0.02);
  volume.gain.setValueAtTime(0.4, at + 0.26);
  volume.gain.linearRampToValueAtTime(0, at + 0.3);
  oscillator.connect(volume).connect(context.destination);
  oscillator.start(at);
  oscillator.stop(at + 0.3);
};

const isBlocked = () => {
  // A context that was made before the first click stays suspended until it is resumed in a click.
  context ??= new AudioContext();
  return context.state !== "running";
};

const step = () => {
  const silent = isBlocked();
  blocked.hidden = !silent;
  document.body.dataset.sound = silent ? "blocked" : rings ? "rings" : "ready";
  if (!silent && rings) {
    tone(880, context.currentTime);
    tone(660, context.currentTime + 0.35);
  }
};

const allow = async () => {
  isBlocked();
  await context.resume();
  step();
};

export const ring = (on) => {
  const begins = on && !rings;
  rings = on;
  if (begins || !on) step();
};

document.addEventListener("click", () => isBlocked() && allow());
document.addEventListener("keydown", () => isBlocked() && allow());
setInterval(step, EVERY_MS);
