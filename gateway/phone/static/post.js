// The second way to the gateway, for when WebSockets are blocked, and for the worker of a closed page: HTTPS.

const LIMIT_MS = 10000;

/** The answers to a message by HTTPS; null when it did not get through. */
export async function post(phone, jws) {
  try {
    const answer = await fetch(`/sos/up?phone=${phone}`, {
      method: "POST",
      body: jws,
      headers: { "content-type": "application/jose" },
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    return answer.ok ? (await answer.json()).down : null;
  } catch (error) {
    if (error instanceof TypeError || error instanceof DOMException || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Asks the gateway to forget this phone and its person: "done", "open" while an emergency is, null without an answer. */
export async function askToForget(phone, jws) {
  try {
    const answer = await fetch(`/sos/forget?phone=${phone}`, { method: "POST", body: jws, signal: AbortSignal.timeout(LIMIT_MS) });
    return answer.ok ? "done" : answer.status === 409 ? "open" : null;
  } catch (error) {
    if (error instanceof TypeError || error instanceof DOMException) return null;
    throw error;
  }
}
