// What the phone does besides showing: it vibrates and sounds at each stage, unless the person wants it silent.

// [vibration in milliseconds, tones in hertz]: one pattern for each stage, so that a pocket can tell them apart.
const SIGNALS = {
  tap: [[40], []],
  sent: [[120, 60, 120, 60, 120], [660]],
  receipt: [[400], [880, 880]],
  accepted: [[], []],
  acknowledged: [[200, 100, 200], [880, 1175]],
  dispatched: [[200, 100, 200, 100, 200], [880, 1175, 1320]],
  on_scene: [[600, 100, 600], [1320, 1320, 1320]],
  closed: [[200], [660]],
  unsent: [[80, 80, 80, 80, 80, 80, 80], [220, 220]],
};
const TONE_S = 0.15;

let audio = null;

/** A browser lets a page sound only after the person has touched it: call it then. */
export function unlock() {
  audio ??= new AudioContext();
  if (audio.state === "suspended") audio.resume().catch((error) => console.info("no sound", error));
}

export function signal(name, silent) {
  if (silent) return;
  const [vibration, tones] = SIGNALS[name];
  if (vibration.length) navigator.vibrate?.(vibration);
  if (!audio || audio.state !== "running") return;
  tones.forEach((hertz, at) => {
    const tone = audio.createOscillator();
    const loudness = audio.createGain();
    loudness.gain.value = 0.3;
    tone.frequency.value = hertz;
    tone.connect(loudness).connect(audio.destination);
    tone.start(audio.currentTime + at * TONE_S * 1.4);
    tone.stop(audio.currentTime + at * TONE_S * 1.4 + TONE_S);
  });
}

let lock = null;
let asked = false;

/** The screen stays on while an alarm is open. */
export async function keepAwake(wanted) {
  if (!wanted || document.hidden) {
    asked = false; // a page that was hidden has lost it, and asks again
    if (!wanted) lock?.release().catch((error) => console.info("wake lock", error));
    lock = null;
    return;
  }
  if (asked) return;
  asked = true;
  try {
    lock = (await navigator.wakeLock?.request("screen")) ?? null;
  } catch (error) {
    console.info("no wake lock here", error); // a nearly empty battery refuses it
  }
}
