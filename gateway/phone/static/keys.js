// What a phone signs and checks: JWS (RFC 7515, 7.1) with HS256, under keys that HKDF makes of its root key.
// The root key is drawn here and kept as a CryptoKey that no script can read out again.

const SALT = new TextEncoder().encode("sigap v1");
const HEADER = encoded(new TextEncoder().encode('{"alg":"HS256"}'));

/** {bytes: base64url for the enrolment, root: the CryptoKey to keep}. */
export async function drawn() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const root = await crypto.subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits", "deriveKey"]);
  const said = encoded(bytes);
  bytes.fill(0);
  return { bytes: said, root };
}

/** The keys of a phone: {up, down: CryptoKey, password: of its login at the broker}. phone: eight hex digits. */
export async function keysOf(root, phone) {
  const id = Uint8Array.from(phone.match(/../g), (two) => parseInt(two, 16));
  const mac = { name: "HMAC", hash: "SHA-256", length: 256 };
  const [up, down, password] = await Promise.all([
    crypto.subtle.deriveKey(parameters("phone up", id), root, mac, false, ["sign"]),
    crypto.subtle.deriveKey(parameters("phone down", id), root, mac, false, ["verify"]),
    crypto.subtle.deriveBits(parameters("broker", id), root, 128),
  ]);
  return { up, down, password: Array.from(new Uint8Array(password), (b) => b.toString(16).padStart(2, "0")).join("") };
}

/** The JWS of a message. */
export async function signed(key, message) {
  const text = `${HEADER}.${encoded(new TextEncoder().encode(JSON.stringify(message)))}`;
  const mac = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(text));
  return `${text}.${encoded(new Uint8Array(mac))}`;
}

/** The message of a JWS; null unless this key signed it. */
export async function opened(key, jws) {
  const parts = jws.split(".");
  if (parts.length !== 3 || parts[0] !== HEADER) return null;
  try {
    const text = new TextEncoder().encode(`${parts[0]}.${parts[1]}`);
    if (!(await crypto.subtle.verify("HMAC", key, decoded(parts[2]), text))) return null;
    return JSON.parse(new TextDecoder().decode(decoded(parts[1])));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DOMException) return null;
    throw error;
  }
}

function parameters(label, id) {
  const info = new Uint8Array([...new TextEncoder().encode(label), ...id]);
  return { name: "HKDF", hash: "SHA-256", salt: SALT, info };
}

function encoded(bytes) {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function decoded(text) {
  return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
}
