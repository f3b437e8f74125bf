// The button's rule (firmware/panic/presses.py): three presses within the window, each gap bounded; the third makes the
// alarm, the next begins a new gesture. A finger on glass does not bounce. tests/system/test_phone_taps.py holds both
// to the same.

export const WINDOW_MS = 2000;
export const GAP_MS = 1000;
export const TAPS = 3;

export class Taps {
  #gesture = [];

  /** A tap at `now` (milliseconds, never back): true when it is the third. */
  tap(now) {
    this.#gesture = this.#gesture.filter((at) => now - at <= WINDOW_MS);
    if (this.#gesture.length && now - this.#gesture[this.#gesture.length - 1] > GAP_MS) this.#gesture = [];
    this.#gesture.push(now);
    if (this.#gesture.length < TAPS) return false;
    this.#gesture = [];
    return true;
  }

  /** How many count at `now`. */
  count(now) {
    const last = this.#gesture[this.#gesture.length - 1];
    return last === undefined || now - last > GAP_MS ? 0 : this.#gesture.filter((at) => now - at <= WINDOW_MS).length;
  }
}
