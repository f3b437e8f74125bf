// What must outlive everything: who this phone is, its counters, its alarms. IndexedDB; each promise is kept when the
// transaction is complete, with strict durability: it is on the flash then.

const NAME = "sigap";
const BLOCK = 64; // counters reserved at once: those of a block that was begun are never used again
const MOST_ALARMS = 100; // closed ones beyond it go, the oldest first; what has no receipt never does

let opening = null;
const block = { next: 0, end: 0, epoch: 0 };

function database() {
  opening ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("keep");
      asked.result.createObjectStore("alarms", { keyPath: "activation" });
    };
    asked.onsuccess = () => {
      asked.result.onversionchange = () => asked.result.close();
      asked.result.onclose = () => (opening = null);
      resolve(asked.result);
    };
    asked.onerror = () => {
      opening = null;
      reject(asked.error);
    };
  });
  return opening;
}

/** Runs work({keep, alarms}) in one transaction; what work's last request gave, once it is on the flash. */
async function within(mode, work) {
  const db = await database();
  return new Promise((resolve, reject) => {
    const transaction = db.transaction(["keep", "alarms"], mode, { durability: "strict" });
    const result = { value: undefined };
    transaction.oncomplete = () => resolve(result.value);
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was given up"));
    work({ keep: transaction.objectStore("keep"), alarms: transaction.objectStore("alarms") }, result);
  });
}

/** {phone, name, owner, gateway, root} of an enrolled phone, else undefined. */
export function identity() {
  return within("readonly", ({ keep }, result) => {
    keep.get("identity").onsuccess = (event) => (result.value = event.target.result);
  });
}

/** Becomes this phone; its counters begin. */
export function become(who) {
  const epoch = crypto.getRandomValues(new Uint32Array(1))[0];
  return within("readwrite", ({ keep, alarms }) => {
    alarms.clear();
    keep.put(who, "identity");
    keep.put({ epoch, counter: 0, activation: 0 }, "count");
  });
}

/** Forgets everything. */
export function forget() {
  block.next = block.end = 0;
  return within("readwrite", ({ keep, alarms }) => {
    alarms.clear();
    keep.clear();
  });
}

/** A setting of the person's: silent, rehearsed. */
export function setting(name) {
  return within("readonly", ({ keep }, result) => {
    keep.get(`setting ${name}`).onsuccess = (event) => (result.value = event.target.result);
  });
}

export function set(name, value) {
  return within("readwrite", ({ keep }) => keep.put(value, `setting ${name}`));
}

/** {epoch, counter} of the next message: on the flash before it is used. */
export async function nextCount() {
  if (block.next >= block.end) await reserve();
  return { epoch: block.epoch, counter: block.next++ };
}

async function reserve() {
  try {
    const count = await within("readwrite", ({ keep }, result) => {
      keep.get("count").onsuccess = (event) => {
        const count = event.target.result;
        result.value = { ...count };
        keep.put({ ...count, counter: count.counter + BLOCK }, "count");
      };
    });
    Object.assign(block, { epoch: count.epoch, next: count.counter + 1, end: count.counter + BLOCK + 1 });
  } catch (error) {
    // As a button whose flash refuses: an epoch that only this page knows, and that nobody counts on later.
    console.warn("no counters from the store", error);
    const epoch = crypto.getRandomValues(new Uint32Array(1))[0];
    Object.assign(block, { epoch, next: 1, end: BLOCK + 1 });
  }
}

/** A new alarm, with the next activation; it is on the flash when this is done. */
export function addAlarm(alarm) {
  return within("readwrite", ({ keep, alarms }, result) => {
    keep.get("count").onsuccess = (event) => {
      const count = event.target.result;
      const activation = count.activation + 1;
      result.value = { ...alarm, activation };
      keep.put({ ...count, activation }, "count");
      alarms.put(result.value);
    };
    alarms.getAll().onsuccess = (event) => {
      const closed = event.target.result.filter((each) => each.closed);
      for (const each of closed.slice(0, Math.max(0, closed.length - MOST_ALARMS))) alarms.delete(each.activation);
    };
  });
}

/** Changes an alarm: change(alarm) returns the new one, or null for as it was. The alarm as it is then. */
export function changeAlarm(activation, change) {
  return within("readwrite", ({ alarms }, result) => {
    alarms.get(activation).onsuccess = (event) => {
      result.value = event.target.result;
      const changed = result.value && change(result.value);
      if (changed) {
        result.value = changed;
        alarms.put(changed);
      }
    };
  });
}

/** Every alarm, the oldest first. */
export function allAlarms() {
  return within("readonly", ({ alarms }, result) => {
    alarms.getAll().onsuccess = (event) => (result.value = event.target.result);
  });
}
