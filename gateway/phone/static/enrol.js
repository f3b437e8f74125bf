// How a phone comes to be one of ours: by an invitation, with a key that it draws itself.

import { drawn } from "./keys.js";
import * as store from "./store.js";

/** {owner: whose phone it will be, or null: the person is to say}, {waiting: true} while somebody has to approve; null when
 * the invitation is not good any more. */
export async function look(invitation) {
  const answer = await fetch("invitation", { method: "POST", body: invitation });
  if (answer.status === 410) return null;
  if (!answer.ok) throw new Error(`the gateway says ${answer.status}`);
  return answer.json();
}

/** Enrols; {wrong: which field} when something in it is not taken, {gone: true} when the invitation is used up. */
export async function enrol(invitation, language, person) {
  const key = await drawn();
  const body = JSON.stringify({ invitation, root_key: key.bytes, language, ...(person ? { person } : {}) });
  const answer = await fetch("enrol", { method: "POST", body, headers: { "content-type": "application/json" } });
  if (answer.status === 410) return { gone: true };
  const said = await answer.json();
  if (answer.status === 400) return { wrong: said.where, says: said.says };
  if (!answer.ok) throw new Error(`the gateway says ${answer.status}`);
  await store.become({ phone: said.phone, name: said.name, owner: said.owner, root: key.root });
  await navigator.storage?.persist?.();
  history.replaceState(null, "", location.pathname);
  return { phone: said.phone };
}

/** Asks for a code to be sent: null when it was, else why not. */
export async function askForCode(to, language) {
  const answer = await fetch("code", { method: "POST", body: JSON.stringify({ to, language }) });
  return answer.ok ? null : (await answer.json()).error;
}

/** {invitation} for who has the code, else {error}. */
export async function bringCode(to, code, name) {
  const answer = await fetch("verify", { method: "POST", body: JSON.stringify({ to, code, name }) });
  return answer.json();
}
