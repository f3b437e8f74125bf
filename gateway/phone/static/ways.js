// The first way to the gateway: MQTT 5 over a WebSocket to the broker. With 3.1.1 a publish that the access list refuses
// would look delivered; MQTT 5 says so (reason 135).

import mqtt from "./vendor/mqtt.esm.js";

const KEEPALIVE_S = 20;
const CONNECT_MS = 5000;
const AGAIN_MS = 1000;
const REFUSED = 0x87;

/** down(jws), changed(): called when something came, or the connection did or went. */
export class Broker {
  connected = false;
  refused = false;
  #client;

  constructor(url, phone, password, down, changed) {
    const topic = `sigap/v1/p/${phone}/down`;
    this.#client = mqtt.connect(url, {
      protocolVersion: 5,
      clientId: phone,
      username: phone,
      password,
      clean: true,
      keepalive: KEEPALIVE_S,
      connectTimeout: CONNECT_MS,
      reconnectPeriod: AGAIN_MS,
      queueQoSZero: false,
      timerVariant: "native", // a worker of its own from a blob would need a weaker policy
    });
    this.up = `sigap/v1/p/${phone}/up`;
    this.#client.on("connect", () =>
      this.#client.subscribe(topic, { qos: 1 }, (error) => {
        this.connected = !error;
        this.refused = Boolean(error);
        changed();
      }),
    );
    this.#client.on("close", () => {
      const was = this.connected;
      this.connected = false;
      if (was) changed();
    });
    this.#client.on("error", (error) => {
      this.refused = error.code === 4 || error.code === 5 || error.code === 0x86 || error.code === REFUSED;
    });
    this.#client.on("message", (_topic, payload) => down(new TextDecoder().decode(payload)));
  }

  /** Into the connection as it is now; false when there is none. */
  send(jws) {
    if (!this.connected) return false;
    this.#client.publish(this.up, jws, { qos: 1 }, (error) => {
      if (error?.code === REFUSED) this.refused = true;
    });
    return true;
  }

  /** Tries at once: the network may be back. */
  hurry() {
    if (!this.connected) this.#client.reconnect();
  }

  end() {
    this.#client.end(true);
  }
}
