// What a phone says (CONTRACT.md, section 12): made anew for each attempt, with what is known now.

import { nextCount } from "./store.js";

/** How far an alarm comes, in its order: what a status says. */
export const STAGES = ["receipt", "accepted", "acknowledged", "dispatched", "on_scene", "closed"];

const U32 = 0xffffffff;
export const SESSION = `${Date.now()}-${Math.random()}`; // of this page: its monotonic clock is good for no other

/** When an alarm is made: the clock of the wall, and the one that nobody sets. */
export function moment() {
  return { wall: Date.now(), ticks: performance.now(), session: SESSION };
}

/** {age_ms, age_is_minimum} of a moment. After a reload only the wall's clock is left, which somebody may have set. */
export function ageOf(at) {
  if (at.session === SESSION) return { age_ms: limited(performance.now() - at.ticks), age_is_minimum: false };
  const age = Date.now() - at.wall;
  return age < 0
    ? { age_ms: limited(performance.now()), age_is_minimum: true }
    : { age_ms: limited(age), age_is_minimum: false };
}

/** What an alarm has still to say: alarm or test until its receipt, then its cancel; null when all is said. */
export function owed(alarm) {
  if (alarm.stage < 0) return kindOf(alarm);
  return alarm.cancelled && !alarm.cancel_told ? "cancel" : null;
}

export function kindOf(alarm) {
  return alarm.test ? "test" : "alarm";
}

/** A message about an alarm. kind: alarm, update, test, cancel. place: of Geolocation, or null. */
export async function about(phone, kind, alarm, place, battery) {
  const of = kind === "cancel" ? alarm.cancelled : alarm.pressed;
  return {
    v: 1,
    type: kind,
    phone,
    ...(await nextCount()),
    activation: alarm.activation,
    ...ageOf(of),
    silent: Boolean(alarm.silent),
    repeated: (kind === "cancel" ? alarm.cancel_tries : alarm.tries) > 0,
    ...(kind !== "cancel" && place ? { position: positionOf(place) } : {}),
    ...(battery === null ? {} : { battery_percent: battery }),
  };
}

/** A sign of life. */
export async function heartbeat(phone, battery) {
  return {
    v: 1,
    type: "heartbeat",
    phone,
    ...(await nextCount()),
    ...(battery === null ? {} : { battery_percent: battery }),
  };
}

function positionOf(place) {
  return {
    lat: Number(place.lat.toFixed(7)),
    lon: Number(place.lon.toFixed(7)),
    accuracy_m: Math.round(place.accuracy),
    age_s: Math.max(0, Math.round(ageOf(place.at).age_ms / 1000)),
  };
}

function limited(number) {
  return Math.round(Math.min(Math.max(number, 0), U32));
}
