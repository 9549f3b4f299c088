// The photo with the edit in it: a canvas that can be zoomed, and numbered boxes on its faces. What it shows
// comes from `stage.js`: a photo once, then the part that an edit changes, frame by frame.
const find = (name) => element.querySelector("." + name);
const MOST_ZOOM = 12; // times the size at which all of the photo is seen
const STILL = 4; // px that a press may wander and still be no drag
const canvas = find("edited"), pane = find("view"), sheet = find("sheet");
const view = { original: null, base: null, patch: null, held: false, zoom: 1, x: 0, y: 0, toView: null };

async function picture(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  return image;
}

function repaint() {
  const context = canvas.getContext("2d");
  if (!view.original) return;
  context.drawImage(view.held ? view.original : view.base ?? view.original, 0, 0, canvas.width, canvas.height);
  if (view.patch && !view.held) context.drawImage(view.patch.image, view.patch.left, view.patch.top);
  view.painted?.();
}

// Both answer whether they are still `current` when their pictures are decoded; if not, nothing changes.
view.open = async (face, current) => {
  const [original, base] = await Promise.all([picture(face.photo), face.base && picture(face.base)]);
  if (!current()) return false;
  Object.assign(view, { original, base, patch: null, toView: face.toView });
  if (canvas.width !== face.width || canvas.height !== face.height) {
    Object.assign(canvas, { width: face.width, height: face.height });
    Object.assign(sheet.style, { width: face.width + "px", height: face.height + "px" });
    view.all();
  }
  repaint();
  return true;
};

// A frame: what the edit changes, or null where there is none.
view.show = async (source, left, top, current) => {
  const image = source && await picture(source);
  if (!current()) return false;
  view.patch = image ? { image, left, top } : null;
  repaint();
  return true;
};

function fitting() {
  return Math.min(pane.clientWidth / canvas.width, pane.clientHeight / canvas.height);
}

function place() {
  const scale = fitting() * view.zoom;
  const rest = [pane.clientWidth - canvas.width * scale, pane.clientHeight - canvas.height * scale];
  const within = (at, left) => (left > 0 ? left / 2 : Math.min(0, Math.max(left, at)));
  [view.x, view.y] = [within(view.x, rest[0]), within(view.y, rest[1])];
  sheet.style.transform = `translate(${view.x}px, ${view.y}px) scale(${scale})`;
  sheet.style.setProperty("--px", 1 / scale + "px");
  pane.dataset.zoomed = view.zoom > 1;
}

// Larger or smaller around a point of the pane; without one, around its middle.
view.zoomBy = (factor, x = pane.clientWidth / 2, y = pane.clientHeight / 2) => {
  const zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom * factor)), change = zoom / view.zoom;
  Object.assign(view, { zoom, x: x - (x - view.x) * change, y: y - (y - view.y) * change });
  place();
};
view.all = () => { view.zoom = 1; place(); };
// The chosen face, as large as the pane allows.
view.face = () => {
  if (!view.toView) return;
  const [a, b, c, d, e, f] = view.toView; // from the unit square, which is all of the crop
  const wide = Math.hypot(a, b), high = Math.hypot(c, d), middle = [e + (a + c) / 2, f + (b + d) / 2];
  const scale = Math.min(pane.clientWidth / wide, pane.clientHeight / high);
  view.zoom = Math.min(MOST_ZOOM, Math.max(1, scale / fitting()));
  const shown = fitting() * view.zoom;
  Object.assign(view, { x: pane.clientWidth / 2 - middle[0] * shown, y: pane.clientHeight / 2 - middle[1] * shown });
  place();
};
view.hold = (held) => {
  if (view.held === held) return;
  view.held = held;
  find("badge").hidden = !held;
  repaint();
};

view.boxes = (faces, chosen, choose) => {
  const group = find("faces");
  group.replaceChildren();
  if (faces.length < 2) return;
  for (const face of faces) {
    const [left, top, width, height] = face.box.map((part) => 100 * part + "%");
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: face.number });
    button.className = "face";
    button.setAttribute("aria-pressed", face.number === chosen);
    button.title = face.refusal || `Edit face ${face.number} of ${faces.length}`;
    button.disabled = Boolean(face.refusal);
    Object.assign(button.style, { left, top, width, height });
    button.addEventListener("click", () => choose(face.number));
    group.append(button);
  }
};

// Browsers save a canvas without a word of what it is; the saved photo says that it was edited.
element.addEventListener("contextmenu", (event) => {
  if (!event.target.closest("canvas")) return;
  event.preventDefault();
  window.facePump.announce("Use “save photo”: its file is of the photo's own size, and says that it was edited.");
});

pane.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = pane.getBoundingClientRect();
  view.zoomBy(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
let press = null;
pane.addEventListener("pointerdown", (event) => {
  if (event.button || event.target.closest("button")) return;
  press = { id: event.pointerId, x: event.clientX, y: event.clientY, drag: false };
  pane.setPointerCapture(event.pointerId);
  view.hold(true);
});
pane.addEventListener("pointermove", (event) => {
  if (!press || press.id !== event.pointerId) return;
  const [x, y] = [event.clientX - press.x, event.clientY - press.y];
  if (!press.drag && (view.zoom === 1 || Math.hypot(x, y) < STILL)) return;
  view.hold(false);
  Object.assign(view, { x: view.x + x, y: view.y + y });
  Object.assign(press, { drag: true, x: event.clientX, y: event.clientY });
  place();
});
for (const end of ["pointerup", "pointercancel"]) pane.addEventListener(end, () => { press = null; view.hold(false); });
const STEP = 60; // px that an arrow key moves
// All other keys work wherever the focus is, see keys.js.
const keys = {
  ArrowLeft: () => { view.x += STEP; place(); }, ArrowRight: () => { view.x -= STEP; place(); },
  ArrowUp: () => { view.y += STEP; place(); }, ArrowDown: () => { view.y -= STEP; place(); },
};
pane.addEventListener("keydown", (event) => {
  const act = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
pane.addEventListener("focusout", () => view.hold(false));
find("zoom-in").addEventListener("click", () => view.zoomBy(1.5));
find("zoom-out").addEventListener("click", () => view.zoomBy(1 / 1.5));
find("zoom-all").addEventListener("click", view.all);
find("zoom-face").addEventListener("click", view.face);
const button = find("hold");
button.addEventListener("pointerdown", () => view.hold(true));
for (const end of ["pointerup", "pointerleave", "pointercancel", "blur", "keyup"]) button.addEventListener(end, () => view.hold(false));
button.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") view.hold(true); });
new ResizeObserver(place).observe(pane);
