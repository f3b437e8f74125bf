// Where the boards are: on the coasts and towns that come with Sigap. Asks no other host.
const HOME = [-6.99, 110.42];
const COLOURS = {
  sending: "#c2410c",
  "not received": "#c2410c",
  cancelled: "#8a6d00",
  received: "#c2410c",
  acknowledged: "#1554a8",
  dispatched: "#22702a",
  "test sending": "#5b3a91",
  "test received": "#5b3a91",
  "test mode": "#5b3a91",
};
const place = document.getElementById("map");
const marks = new Map();
let map = null;
let touched = false;

const background = async () => {
  const [coasts, towns] = await Promise.all(
    ["java", "places"].map((name) => fetch(`/assets/map/${name}.json`).then((answer) => answer.json())),
  );
  L.geoJSON(coasts, {
    interactive: false,
    pane: "land",
    style: { className: "land", weight: 1, fillOpacity: 1 },
  }).addTo(map);
  for (const [name, lat, lon] of towns) {
    L.circleMarker([lat, lon], { pane: "land", radius: 2, color: "#555", weight: 1, interactive: false }).addTo(map);
    const label = L.tooltip({ permanent: true, direction: "right", className: "town", interactive: false, opacity: 1 });
    label.setLatLng([lat, lon]).setContent(texted(name)).addTo(map);
  }
};

const texted = (text) => {
  const span = document.createElement("span");
  span.textContent = text;
  return span;
};

const fit = () => {
  if (touched || !marks.size) return;
  map.fitBounds(L.featureGroup([...marks.values()]).getBounds(), { padding: [60, 60], maxZoom: 15, animate: false });
};

const begin = () => {
  map = L.map(place, { center: HOME, zoom: 12, minZoom: 7, maxZoom: 18, attributionControl: false, keyboard: false });
  map.createPane("land").style.zIndex = 250;
  L.control.scale({ imperial: false }).addTo(map);
  new ResizeObserver(() => {
    map.invalidateSize({ animate: false });
    fit();
  }).observe(place);
  for (const kind of ["pointerdown", "wheel", "keydown"]) place.addEventListener(kind, () => (touched = true));
  background().catch(() => place.classList.add("bare")); // the marks are worth more than what lies under them
};

const mark = (name, where, named) => {
  const dot = L.circleMarker(where, { radius: 9, color: "#fff", weight: 2, fillOpacity: 1 }).addTo(map);
  dot.bindTooltip(texted(name), { permanent: named, direction: "top", offset: [0, -8], className: "spot" });
  dot.on("click", () => document.getElementById(`board-${name}`)?.querySelector(".push")?.focus());
  return dot;
};

const colourOf = (board) => (board.state === "running" ? COLOURS[board.word] ?? "#475569" : "#111");

// A board that has lost its fix stays where it was last. lamps: a ring shines while its light is on; named: names stay.
export const showPlaces = (boards, { lamps = false, named = true } = {}) => {
  if (!map) begin();
  const names = boards.map((board) => board.name);
  for (const [name, dot] of marks) {
    if (!names.includes(name)) {
      dot.remove();
      marks.delete(name);
    }
  }
  let fresh = false;
  for (const board of boards) {
    const where = board.position ?? board.site;
    if (where && !marks.has(board.name)) {
      marks.set(board.name, mark(board.name, where, named));
      fresh = true;
    }
    const dot = marks.get(board.name);
    if (!dot) continue;
    if (where) dot.setLatLng(where);
    dot.setStyle({ fillColor: colourOf(board), fillOpacity: board.gps && !board.position ? 0.4 : 1 });
    if (lamps) dot.setStyle(board.led ? { color: "#ff3b3f", weight: 6 } : { color: "#fff", weight: 2 });
  }
  place.dataset.marks = marks.size;
  if (fresh) fit();
};
