// An alarm from its third tap to its end. One tab of all leads: it has the connection and sends; the others write into
// the store, tell it, and show what it tells them. So two tabs are one phone.

import { keysOf, opened, signed } from "./keys.js";
import { STAGES, about, heartbeat, kindOf, moment, owed } from "./messages.js";
import { askToForget, post } from "./post.js";
import * as store from "./store.js";

const FIRST_MS = 1500; // until the first retry; each is half as long again, with jitter
const MOST_MS = 15000;
const OTHER_WAY_MS = 1200; // without a receipt by MQTT so long, HTTPS is tried beside it
const ASK_MS = 5000; // how an alarm fares, where only HTTPS is left
const BEAT_MS = 600000;
const PROBE_MS = 15000;
const MOST_ASKED = 500;
const MOVED_M = 25;
const UPDATE_MS = 10000;
const SETTINGS_MS = 5000;
const TICK_MS = 250;

/** show(alarms): called whenever something changed, in every tab. place(): {lat, lon, accuracy, at} or null. */
export class Sos {
  way = { connected: false, https: null, refused: false, leads: false };
  #who;
  #keys;
  #place;
  #battery;
  #show;
  #broker = null;
  #channel = new BroadcastChannel("sigap");
  #plan = new Map(); // activation -> when it is due, how long to wait after
  #told = new Map(); // activation -> the position that was told last, and when
  #asked = new Map(); // counter of a message -> its kind, for what answers it
  #beatAt = 0;
  #askAt = 0;
  #ended = false;

  constructor(who, { show, place, battery }) {
    this.#who = who;
    this.#show = show;
    this.#place = place;
    this.#battery = battery;
    this.#channel.onmessage = (event) => this.#hear(event.data);
  }

  async start() {
    this.#keys = await keysOf(this.#who.root, this.#who.phone);
    // Held for as long as this page lives; the next in line leads when it goes.
    navigator.locks.request("sigap leader", () => this.#lead());
    await this.changed();
  }

  /** Three taps: on the flash first, then on its way. The alarm; rejected when the store takes nothing. */
  async press({ test = false, silent = false }) {
    const alarm = { pressed: moment(), test, silent, stage: -1, times: {}, tries: 0, closed: false };
    let kept;
    try {
      kept = await store.addAlarm(alarm);
    } catch (error) {
      // Full, or private: it goes out all the same, from this tab's memory. Nobody must be refused for a disk's sake.
      kept = { ...alarm, activation: this.#unkept(), unkept: true };
      this.memory = [...(this.memory ?? []), kept];
      console.warn("the alarm is not on the flash", error);
    }
    await this.changed();
    if (this.way.leads) await this.#send(kept, kindOf(kept));
    else this.#follow(kept.activation);
    this.#sync();
    return kept;
  }

  async cancel(activation) {
    await this.#change(activation, (alarm) => alarm.cancelled ? null : { ...alarm, cancelled: moment(), cancel_tries: 0 });
    if (!this.way.leads) this.#follow(activation);
    await this.changed();
  }

  /** The tab that leads is told; but a browser may have put it to sleep, so this one sends too, by HTTPS. */
  async #follow(activation) {
    this.#channel.postMessage({ due: activation });
    let wait = 0;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      const alarm = (await this.alarms()).find((each) => each.activation === activation);
      const kind = alarm && owed(alarm);
      if (!kind || this.#ended || this.way.leads) return;
      await this.#send(alarm, kind);
      wait = Math.min((wait || FIRST_MS) * 1.5, MOST_MS);
    }
  }

  async alarms() {
    let kept = [];
    try {
      kept = await store.allAlarms();
    } catch (error) {
      console.warn("the store cannot be read", error);
    }
    return [...kept, ...(this.memory ?? [])];
  }

  /** The network may be back, or the page is looked at again. */
  hurry() {
    this.#broker?.hurry();
    for (const plan of this.#plan.values()) plan.at = 0;
    this.#askAt = 0;
  }

  async changed(tell = true) {
    this.#show(await this.alarms(), this.way);
    if (tell) this.#channel.postMessage({ changed: true, way: this.way });
  }

  /** The person takes everything back: see askToForget(). */
  async forget() {
    return askToForget(this.#who.phone, await signed(this.#keys.up, { v: 1, type: "forget", phone: this.#who.phone }));
  }

  end() {
    this.#ended = true;
    this.#broker?.end();
  }

  async #hear(said) {
    if (said.way && !this.way.leads) this.way = { ...said.way, leads: false };
    if (said.changed) await this.changed(false);
    if (said.due !== undefined && this.way.leads) this.#plan.delete(said.due);
  }

  async #lead() {
    this.way.leads = true;
    this.#connect();
    while (!this.#ended) {
      try {
        await this.#step();
      } catch (error) {
        console.error("a step failed; the next one tries again", error);
      }
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  }

  /** MQTT as soon as it can be had; until then there is HTTPS. */
  async #connect() {
    while (!this.#ended) {
      try {
        const { broker } = await this.#settings();
        if (!broker) return;
        const { Broker } = await import("./ways.js"); // the heaviest part of the page, which nobody waits for
        const { phone } = this.#who;
        this.#broker = new Broker(broker, phone, this.#keys.password, (jws) => this.#down(jws), () => this.#line());
        return;
      } catch (error) {
        console.warn("no connection yet", error);
        await new Promise((resolve) => setTimeout(resolve, FIRST_MS));
      }
    }
  }

  async #settings() {
    for (;;) {
      try {
        const answer = await fetch("settings", { signal: AbortSignal.timeout(SETTINGS_MS) });
        if (answer.ok) {
          const said = await answer.json();
          store.set("settings", said).catch((error) => console.warn("where the broker is, is not kept", error));
          return said;
        }
      } catch (error) {
        console.warn("no settings yet", error);
      }
      // Without the server there may still be the broker, where it was last.
      const known = await store.setting("settings");
      if (known) return known;
      await new Promise((resolve) => setTimeout(resolve, FIRST_MS));
    }
  }

  #line() {
    this.way = { ...this.way, connected: this.#broker.connected, refused: this.#broker.refused };
    this.#beatAt = 0;
    if (this.#broker.connected) {
      for (const plan of this.#plan.values()) plan.at = 0;
      this.#askAt = 0;
    }
    this.changed();
  }

  async #step() {
    const now = performance.now();
    const alarms = (await this.alarms()).filter((alarm) => !alarm.closed);
    for (const alarm of alarms) {
      const kind = owed(alarm);
      if (kind) {
        const plan = this.#plan.get(alarm.activation) ?? { at: 0, wait: FIRST_MS };
        if (now >= plan.at) await this.#send(alarm, kind);
      } else {
        await this.#update(alarm, now);
      }
    }
    const asks = alarms.filter((alarm) => alarm.stage >= 0);
    if (asks.length && now >= this.#askAt && (!this.#broker?.connected || this.#askAt === 0)) {
      this.#askAt = now + ASK_MS;
      // A repeated alarm is answered with how far it has come.
      for (const alarm of asks) await this.#say(alarm, kindOf(alarm));
    }
    if (now >= this.#beatAt) {
      const jws = await signed(this.#keys.up, await heartbeat(this.#who.phone, this.#battery()));
      this.#beatAt = now + BEAT_MS;
      if (!this.#broker?.send(jws)) this.#probe(jws);
    }
  }

  async #send(alarm, kind) {
    const plan = this.#plan.get(alarm.activation) ?? { at: 0, wait: FIRST_MS };
    plan.at = performance.now() + plan.wait * (0.75 + Math.random() / 2);
    plan.wait = Math.min(plan.wait * 1.5, MOST_MS);
    this.#plan.set(alarm.activation, plan);
    const place = this.#place();
    this.#told.set(alarm.activation, { place, at: performance.now() });
    await this.#say(alarm, kind);
    const counted = kind === "cancel" ? { cancel_tries: alarm.cancel_tries + 1 } : { tries: alarm.tries + 1 };
    await this.#change(alarm.activation, (now) => ({ ...now, ...counted }));
  }

  /** One attempt: by MQTT where it is connected, and by HTTPS where it is not, or says nothing. */
  async #say(alarm, kind) {
    const make = async () => {
      const message = await about(this.#who.phone, kind, alarm, this.#place(), this.#battery());
      this.#asked.set(message.counter, kind);
      if (this.#asked.size > MOST_ASKED) this.#asked.delete(this.#asked.keys().next().value);
      return signed(this.#keys.up, message);
    };
    const told = kind === "cancel" ? "cancel_told" : "receipt";
    if (this.#broker?.send(await make())) {
      setTimeout(async () => {
        if (!(await this.#isTold(alarm, told))) this.#post(await make());
      }, OTHER_WAY_MS);
    } else {
      this.#post(await make());
    }
  }

  /** Is there a way at all, where WebSockets are blocked? */
  async #probe(jws) {
    this.#beatAt = performance.now() + PROBE_MS;
    const https = (await post(this.#who.phone, jws)) !== null;
    if (https === this.way.https) return;
    this.way = { ...this.way, https };
    await this.changed();
  }

  async #isTold(alarm, what) {
    const now = (await this.alarms()).find((each) => each.activation === alarm.activation);
    return !now || (what === "receipt" ? now.stage >= 0 : Boolean(now[what]));
  }

  async #post(jws) {
    for (const each of (await post(this.#who.phone, jws)) ?? []) await this.#down(each);
  }

  async #update(alarm, now) {
    const place = this.#place();
    const told = this.#told.get(alarm.activation) ?? { place: null, at: -UPDATE_MS };
    if (!place || now - told.at < UPDATE_MS) return;
    const better = !told.place || place.accuracy < told.place.accuracy / 2 || metres(told.place, place) > MOVED_M;
    if (!better) return;
    this.#told.set(alarm.activation, { place, at: now });
    await this.#say(alarm, alarm.test ? "test" : "update");
  }

  async #down(jws) {
    const status = await opened(this.#keys.down, jws);
    if (status?.type !== "status" || status.phone !== this.#who.phone) return;
    const stage = STAGES.indexOf(status.stage);
    if (stage < 0 || !status.activation) return;
    await this.#change(status.activation, (alarm) => {
      const told = this.#asked.get(status.counter) === "cancel" && !alarm.cancel_told;
      if (stage <= alarm.stage && !told) return null;
      const reached = Math.max(stage, alarm.stage);
      const times = { ...alarm.times, [STAGES[stage]]: alarm.times[STAGES[stage]] ?? Date.now() };
      return { ...alarm, stage: reached, times, cancel_told: told || alarm.cancel_told, closed: STAGES[reached] === "closed" };
    });
    await this.changed();
  }

  async #change(activation, change) {
    const unkept = (this.memory ?? []).findIndex((alarm) => alarm.activation === activation);
    if (unkept >= 0) {
      this.memory[unkept] = change(this.memory[unkept]) ?? this.memory[unkept];
      return;
    }
    await store.changeAlarm(activation, change);
  }

  // Above all that the store will ever count to, and drawn: two of them must not be one.
  #unkept() {
    return 0x80000000 + (crypto.getRandomValues(new Uint32Array(1))[0] >>> 1);
  }

  async #sync() {
    // Should the browser end now, its worker sends it when there is a network.
    try {
      const worker = await navigator.serviceWorker?.ready;
      await worker?.sync?.register("sos");
    } catch (error) {
      console.info("no background sync here", error);
    }
  }
}

function metres(a, b) {
  const north = (b.lat - a.lat) * 111320;
  const east = (b.lon - a.lon) * 111320 * Math.cos((a.lat * Math.PI) / 180);
  return Math.hypot(north, east);
}
