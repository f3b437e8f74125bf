// Settings of the bench's Node-RED: no editor, and what flows.json needs to open and seal Sigap's frames.
const crypto = require("crypto");
const net = require("net");

// TCP_NODELAY, as every other peer has it.
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  this.setNoDelay(true);
  return connect.apply(this, args);
};

const keys = new Map();

// Root keys are those of sigap/bench/load.py: nothing is looked up in a registry here.
function keysOf(device) {
  let found = keys.get(device);
  if (found === undefined) {
    const root = crypto.createHash("sha256").update(`sigap bench ${device}`).digest().subarray(0, 16);
    const id = Buffer.alloc(4);
    id.writeUInt32BE(device);
    const derive = (label) =>
      Buffer.from(crypto.hkdfSync("sha256", root, "sigap v1", Buffer.concat([Buffer.from(label), id]), 16));
    found = { up: derive("uplink"), down: derive("downlink") };
    keys.set(device, found);
  }
  return found;
}

function nonce(type, stage, header) {
  return Buffer.concat([Buffer.from([(type << 4) | stage]), header.subarray(2, 14)]);
}

const CCM = { authTagLength: 8 };

module.exports = {
  httpAdminRoot: false,
  httpNodeRoot: false,
  flowFile: "flows.json",
  logging: { console: { level: "info" } },
  functionGlobalContext: {
    open(frame) {
      const header = frame.subarray(0, 14);
      const device = header.readUInt32BE(2);
      const text = frame.subarray(14, frame.length - 8);
      const cipher = crypto.createDecipheriv("aes-128-ccm", keysOf(device).up, nonce(frame[0] & 15, 0, header), CCM);
      cipher.setAuthTag(frame.subarray(frame.length - 8));
      cipher.setAAD(header, { plaintextLength: text.length });
      const body = cipher.update(text);
      cipher.final();
      return { device, header, body, activation: body.readUInt32BE(0) };
    },
    receipt(device, header, activation) {
      const answer = Buffer.from(header);
      answer[0] = 0x18; // version 1, STATUS
      answer[1] = 1; // RECEIPT
      const body = Buffer.alloc(4);
      body.writeUInt32BE(activation);
      const cipher = crypto.createCipheriv("aes-128-ccm", keysOf(device).down, nonce(8, 1, answer), CCM);
      cipher.setAAD(answer, { plaintextLength: 4 });
      const sealed = cipher.update(body);
      cipher.final();
      return Buffer.concat([answer, sealed, cipher.getAuthTag()]);
    },
  },
};
