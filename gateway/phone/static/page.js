// What a person sees and touches. Everything that must hold is in sos.js and store.js.

import { STAGES, moment } from "./messages.js";
import { keepAwake, signal, unlock } from "./signals.js";
import * as store from "./store.js";
import { GAP_MS, TAPS, Taps } from "./taps.js";

const UNSENT_MS = 10000; // without a receipt so long, the person is told to telephone
const CANCEL_HOLD_MS = 5000; // as on the button
const CANCEL_WITHIN_MS = 30000;
const words = JSON.parse(document.getElementById("words").textContent);
const $ = (selector, within = document) => within.querySelector(selector);
const state = { view: "", alarms: [], way: {}, silent: false, rehearsed: false, place: null, placeDenied: false, battery: null, shown: {} };
let sos = null;

function show(view) {
  state.view = view;
  document.body.dataset.view = view;
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== view;
  $("nav").hidden = !["sos", "test", "history"].includes(view);
  for (const button of document.querySelectorAll("nav button")) {
    if (button.dataset.to === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  draw();
}

// What is known of the alarms

function draw() {
  document.body.classList.toggle("silent", state.silent && state.view === "sos");
  for (const test of [false, true]) drawAlarm($(test ? "#test" : "#sos"), test);
  drawHistory();
  drawPlace();
  const unsent = state.alarms.some((alarm) => alarm.stage < 0 && waited(alarm) > UNSENT_MS);
  $("#no-way").hidden = !sos || state.way.connected || state.way.https !== false;
  document.body.classList.toggle("alone", unsent || !$("#no-way").hidden);
  keepAwake(state.alarms.some((alarm) => !alarm.closed && !alarm.test));
}

function drawAlarm(section, test) {
  const mine = state.alarms.filter((alarm) => Boolean(alarm.test) === test);
  const alarm = mine[mine.length - 1];
  const status = $(".status", section);
  const open = alarm && (!alarm.closed || Date.now() - (alarm.times.closed ?? 0) < 60000);
  $(".stages", section).hidden = !open;
  section.classList.toggle("open", Boolean(open));
  $(".cancel", section)?.toggleAttribute("hidden", !canCancel(alarm));
  const done = $(".done", section);
  if (done) done.hidden = !(alarm && alarm.stage >= 0);
  $(".first", section)?.toggleAttribute("hidden", state.rehearsed);
  if (!open) {
    say(status, "", "");
    return;
  }
  const late = alarm.stage < 0 && waited(alarm) > UNSENT_MS;
  const name = alarm.stage >= 0 ? STAGES[alarm.stage] : late ? "unsent" : "sending";
  let text = words[(test && words[`test_${name}`] && `test_${name}`) || name];
  if (alarm.cancelled) text = alarm.cancel_told ? words.cancelled : words.cancelling;
  say(status, text, late ? "unsent" : "");
  if (alarm.unkept && alarm.stage < 0) say(status, `${text} ${words.store_full}`, late ? "unsent" : "");
  $(".stages", section).replaceChildren(...STAGES.filter((stage) => stage !== "closed" || alarm.closed).map((stage) => stageItem(alarm, stage, test)));
  const key = `${alarm.activation} ${name}`;
  if (state.shown[test] !== key) {
    if (state.shown[test] !== undefined || alarm.stage < 0) signal(name === "sending" ? "sent" : name, state.silent && !test);
    state.shown[test] = key;
  }
}

function stageItem(alarm, stage, test) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  text.textContent = words[(test && words[`test_${stage}`] && `test_${stage}`) || stage];
  item.append(text);
  if (STAGES.indexOf(stage) <= alarm.stage) {
    item.className = "reached";
    const time = document.createElement("time");
    if (alarm.times[stage]) time.textContent = clock(alarm.times[stage]);
    item.append(time);
  }
  return item;
}

function drawHistory() {
  const list = $("#history .list");
  $("#history .none").hidden = state.alarms.length > 0;
  list.replaceChildren(
    ...state.alarms.toReversed().map((alarm) => {
      const item = document.createElement("li");
      const kind = alarm.test ? words.history_test : words.history_sos;
      const parts = [`${kind}: ${words.pressed} ${new Date(alarm.pressed.wall).toLocaleString(document.documentElement.lang)}`];
      for (const stage of STAGES) if (alarm.times[stage]) parts.push(`${clock(alarm.times[stage])} ${words[stage]}`);
      if (alarm.cancelled) parts.push(words.history_mistake);
      item.textContent = parts.join(" · ");
      return item;
    }),
  );
}

function drawPlace() {
  const accuracy = state.place && Math.round(state.place.accuracy);
  const text = state.placeDenied ? words.place_denied : accuracy === null ? words.place_none : `${words.place} ${accuracy} m.`;
  const place = $("#sos .place");
  if (place.textContent !== text) place.textContent = text;
}

function say(element, text, name) {
  if (element.textContent !== text) element.textContent = text; // or a reader would say it again
  element.className = `status ${name}`;
}

function clock(at) {
  return new Date(at).toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

function waited(alarm) {
  return alarm.pressed.session === moment().session ? performance.now() - alarm.pressed.ticks : Date.now() - alarm.pressed.wall;
}

function canCancel(alarm) {
  return Boolean(alarm) && !alarm.test && !alarm.closed && !alarm.cancelled && waited(alarm) < CANCEL_WITHIN_MS;
}

// What is touched

function watchTaps(button, test) {
  const taps = new Taps();
  const label = $("span", button);
  let back = null;
  const tapped = () => {
    unlock();
    const now = performance.now();
    const complete = taps.tap(now);
    const left = TAPS - taps.count(now);
    label.textContent = complete || left === TAPS ? words.tap3 : left === 2 ? words.tap2 : words.tap1;
    clearTimeout(back);
    back = setTimeout(() => (label.textContent = words.tap3), GAP_MS);
    if (!complete) {
      signal("tap", state.silent && !test);
      return;
    }
    sos.press({ test, silent: state.silent && !test }).catch((error) => console.error("the press failed", error));
  };
  button.addEventListener("pointerdown", (event) => event.isPrimary && tapped());
  // A keyboard, and a screen reader, which clicks without a pointer.
  button.addEventListener("click", (event) => event.detail === 0 && tapped());
}

function watchHold(button) {
  let began = null;
  const stop = () => {
    began = null;
    button.style.setProperty("--held", "0%");
  };
  const step = () => {
    if (began === null) return;
    const held = performance.now() - began;
    button.style.setProperty("--held", `${Math.min(100, (100 * held) / CANCEL_HOLD_MS)}%`);
    if (held < CANCEL_HOLD_MS) {
      requestAnimationFrame(step);
      return;
    }
    stop();
    const alarm = state.alarms.filter((each) => !each.test).at(-1);
    if (alarm) sos.cancel(alarm.activation);
  };
  const start = () => {
    if (began !== null) return;
    began = performance.now();
    step();
  };
  button.addEventListener("pointerdown", start);
  for (const name of ["pointerup", "pointercancel", "pointerleave", "keyup", "blur"]) button.addEventListener(name, stop);
  button.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && start());
}

// Where it is, and how full its battery

function watchPlace() {
  if (!navigator.geolocation) return;
  navigator.geolocation.watchPosition(
    ({ coords, timestamp }) => {
      const at = moment();
      const old = Math.max(0, Math.min(Date.now() - timestamp, 3600000)); // a fix may be one of before
      state.place = { lat: coords.latitude, lon: coords.longitude, accuracy: coords.accuracy, at: { ...at, ticks: at.ticks - old, wall: at.wall - old } };
      state.placeDenied = false;
      draw();
    },
    (error) => {
      state.placeDenied = error.code === error.PERMISSION_DENIED;
      draw();
    },
    { enableHighAccuracy: true, maximumAge: 30000 },
  );
}

async function watchBattery() {
  const battery = await navigator.getBattery?.();
  if (!battery) return;
  const look = () => (state.battery = Math.round(battery.level * 100));
  battery.addEventListener("levelchange", look);
  look();
}

// Its beginnings

async function begin(who) {
  $("#history .owner").textContent = who.owner;
  $("#history .phone").textContent = `(${who.name})`;
  state.silent = Boolean(await store.setting("silent"));
  state.rehearsed = Boolean(await store.setting("rehearsed"));
  $("#silent").checked = state.silent;
  const { Sos } = await import("./sos.js"); // what a stranger does not need comes later
  sos = new Sos(who, {
    show: (alarms, way) => {
      Object.assign(state, { alarms, way });
      draw();
    },
    place: () => state.place,
    battery: () => state.battery,
  });
  await sos.start();
  setInterval(draw, 1000);
  watchPlace();
  watchBattery();
  show(state.rehearsed ? "sos" : "test");
}

async function enrolHere(invitation) {
  let found;
  try {
    const { look } = await import("./enrol.js");
    found = await look(invitation);
  } catch (error) {
    console.warn("the invitation cannot be looked at", error);
    setTimeout(() => enrolHere(invitation), 3000);
    show("none");
    return;
  }
  if (!found) {
    $("#none .gone").hidden = false;
    show("none");
    return;
  }
  $("#none .waiting").hidden = !found.waiting;
  if (found.waiting) {
    $("#none .ask").hidden = true;
    $("#none .self")?.setAttribute("hidden", "");
    setTimeout(() => enrolHere(invitation), 5000);
    show("none");
    return;
  }
  const form = $("#enrol form");
  $("#enrol .for").hidden = !found.owner;
  $("#enrol .owner").textContent = found.owner ?? "";
  $(".person", form).hidden = Boolean(found.owner);
  for (const field of form.querySelectorAll("[required]")) field.required = !found.owner;
  show("enrol");
  form.onsubmit = (event) => {
    event.preventDefault();
    submit(form, invitation, found.owner ? null : personIn(form));
  };
}

function personIn(form) {
  const said = Object.fromEntries(new FormData(form));
  const mail = said.relative_mail?.trim();
  const relatives = said.relative?.trim() && mail ? [{ name: said.relative, mail }] : [];
  const { name, telephone, address, registered_message } = said;
  return { name, telephone, address, registered_message, relatives };
}

async function submit(form, invitation, person) {
  const problem = $(".problem", form);
  const button = $("button", form);
  problem.hidden = true;
  button.disabled = true;
  button.textContent = words.enrolling;
  try {
    const { enrol } = await import("./enrol.js");
    const done = await enrol(invitation, document.documentElement.lang, person);
    if (done.phone) {
      await begin(await store.identity());
      return;
    }
    problem.textContent = done.gone ? words.gone : `${words.wrong} ${words[done.wrong] ?? ""} (${done.says})`;
    problem.hidden = false;
  } catch (error) {
    console.warn("the enrolment failed", error);
    problem.textContent = words.failed;
    problem.hidden = false;
  } finally {
    button.disabled = false;
    button.textContent = words.enrol;
  }
}

/** A person registers themselves: an address, the code that was sent there, and an invitation for it. */
function watchRegistration(form) {
  const problem = $(".problem", form);
  const button = $("button", form);
  const code = $(".code", form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = Object.fromEntries(new FormData(form));
    const to = said.to.replace(/[\s()-]/g, "");
    problem.hidden = true;
    button.disabled = true;
    try {
      const { askForCode, bringCode } = await import("./enrol.js");
      if (code.hidden) {
        const failed = await askForCode(to, document.documentElement.lang);
        if (failed) throw failed;
        code.hidden = false;
        $("input", code).required = true;
        $("input", code).focus();
        button.textContent = words.check_code;
      } else {
        const { invitation, error } = await bringCode(to, said.code, said.name);
        if (error) throw error;
        // In the address, so that it outlives a reload: who waits for approval may wait for days.
        history.replaceState(null, "", `#i=${invitation}`);
        await enrolHere(invitation);
      }
    } catch (failed) {
      const texts = { "wrong-code": words.wrong_code, "bad-code": words.wrong_code, "too-many": words.too_many };
      texts["bad-address"] = `${words.wrong} ${words.contact}`;
      problem.textContent = texts[failed] ?? words.failed;
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}

async function main() {
  const self = $("#none .self");
  if (self) watchRegistration(self);
  watchTaps($("#sos-button"), false);
  watchTaps($("#test-button"), true);
  watchHold($("#sos .cancel"));
  for (const button of document.querySelectorAll("nav button")) button.addEventListener("click", () => show(button.dataset.to));
  $("#test .done").addEventListener("click", async () => {
    state.rehearsed = true;
    await store.set("rehearsed", true);
    show("sos");
  });
  $("#silent").addEventListener("change", async (event) => {
    state.silent = event.target.checked;
    await store.set("silent", state.silent);
    draw();
  });
  $("#history .forget").addEventListener("click", async () => {
    if (!confirm(words.forget_sure)) return;
    const said = await sos.forget();
    if (said !== "done") {
      alert(said === "open" ? words.forget_open : words.failed);
      return;
    }
    sos.end();
    await store.forget();
    location.replace(location.pathname);
  });
  document.addEventListener("visibilitychange", () => {
    draw();
    if (!document.hidden) sos?.hurry();
  });
  window.addEventListener("online", () => sos?.hurry());
  navigator.serviceWorker?.register("sw.js", { type: "module" }).catch((error) => console.warn("no worker", error));
  const who = await store.identity();
  // After #, so that no server's log has it.
  const invitation = new URLSearchParams(location.hash.slice(1)).get("i");
  if (who) await begin(who);
  else if (invitation) await enrolHere(invitation);
  else show("none");
}

main().catch((error) => {
  console.error("the page could not begin", error); // such as a browser that keeps nothing: 110 is there all the same
  show("none");
});
