// The map: coasts and towns that come with the gateway, and on them what the page says is where. Asks no other host.
const COLOURS = { open: "#b00020", acknowledged: "#1554a8", dispatched: "#22702a", on_scene: "#22702a", closed: "#555" };
const LABEL_ZOOM = 9;
const home = [-7.15, 110.2]; // Central Java
const place = document.getElementById("map");
let map = null;
let marks = null;
let shown = "";
let touched = false;

const data = (name) => {
  const found = document.querySelector(`[data-${name}]`);
  return found ? JSON.parse(found.dataset[name]) : null;
};

const background = async () => {
  const [coasts, towns] = await Promise.all(
    ["java", "places"].map((name) => fetch(`/static/map/${name}.json`).then((answer) => answer.json())),
  );
  L.geoJSON(coasts, {
    interactive: false,
    pane: "land",
    style: { color: "#7f9a7c", weight: 1, fillColor: "#f3f1e7", fillOpacity: 1 },
  }).addTo(map);
  const names = L.layerGroup();
  for (const [name, lat, lon, principal] of towns) {
    L.circleMarker([lat, lon], { pane: "land", radius: 2, color: "#555", weight: 1, interactive: false }).addTo(map);
    const label = L.tooltip({ permanent: true, direction: "right", className: "town", interactive: false, opacity: 1 });
    const text = document.createElement("span");
    text.textContent = name;
    label.setLatLng([lat, lon]).setContent(text);
    principal ? label.addTo(map) : names.addLayer(label);
  }
  const zoomed = () => (map.getZoom() >= LABEL_ZOOM ? names.addTo(map) : names.remove());
  map.on("zoomend", zoomed);
  zoomed();
};

const begin = () => {
  map = L.map(place, { center: home, zoom: 8, minZoom: 6, maxZoom: 18, attributionControl: false });
  map.createPane("land").style.zIndex = 250;
  L.control.scale({ imperial: false }).addTo(map);
  for (const kind of ["pointerdown", "wheel", "keydown"]) place.addEventListener(kind, () => (touched = true));
  marks = L.featureGroup().addTo(map);
  background().catch(() => place.classList.add("bare")); // the marks are worth more than what lies under them
};

const mark = ({ lat, lon, accuracy_m, state, name, page }) => {
  const color = COLOURS[state] ?? COLOURS.open;
  if (accuracy_m) L.circle([lat, lon], { radius: accuracy_m, color, weight: 1, fillOpacity: 0.15 }).addTo(marks);
  const dot = L.circleMarker([lat, lon], { radius: 9, color: "#fff", weight: 2, fillColor: color, fillOpacity: 1 });
  dot.addTo(marks);
  if (name) {
    const label = document.createElement("span");
    label.textContent = name;
    dot.bindTooltip(label, { permanent: true, direction: "top", offset: [0, -8], className: "spot" });
    dot.on("click", () => location.assign(page));
  }
};

// Draws what the page says, when it says something else than before.
export const draw = () => {
  if (!place) return;
  const spots = place.dataset.watch === "spots" ? data("spots") : [data("spot")];
  const trail = data("trail") ?? [];
  const state = document.querySelector("[data-state]")?.dataset.state;
  const now = JSON.stringify([spots, trail, state]);
  if (now === shown) return;
  if (!map) begin();
  shown = now;
  marks.clearLayers();
  if (trail.length > 1) L.polyline(trail, { color: "#1554a8", weight: 3, dashArray: "4 6" }).addTo(marks);
  for (const spot of spots.filter(Boolean)) mark({ state, ...spot });
  place.dataset.marks = spots.filter(Boolean).length;
  // The map follows what it shows, until somebody has moved it.
  if (marks.getLayers().length && !touched) {
    map.fitBounds(marks.getBounds(), { padding: [50, 50], maxZoom: trail.length > 1 ? 15 : 11 });
  }
};
