// A box on the photo, for what is no face: dragged, sized at its corners, or moved by keys. Its aspect stays, and it
// stays within the photo. The server hears of it when it is taken.
const NUDGE = 1 / 50, GROWTH = 1.08; // of the photo's longer side an arrow key moves it; times that plus enlarges it
const frame = find("box");
const box = { left: 0, top: 0, width: 0, aspect: 1, least: 0, placed: true, placing: false }; // px of the canvas

function putBox(left, top, width) {
  const most = Math.min(canvas.width, canvas.height * box.aspect);
  width = Math.min(most, Math.max(width, box.least));
  left = Math.min(Math.max(left, 0), canvas.width - width);
  top = Math.min(Math.max(top, 0), canvas.height - width / box.aspect);
  Object.assign(box, { left, top, width });
  const parts = { left: left / canvas.width, top: top / canvas.height, width: width / canvas.width, height: width / box.aspect / canvas.height };
  for (const [side, part] of Object.entries(parts)) frame.style[side] = 100 * part + "%";
}

// Larger or smaller around its middle.
function growBox(factor) {
  const most = Math.min(canvas.width, canvas.height * box.aspect);
  const width = Math.min(most, Math.max(box.width * factor, box.least)), more = width - box.width;
  putBox(box.left - more / 2, box.top - more / box.aspect / 2, width);
}

// A corner is dragged by this way, and the one across stays where it is.
function sizeBox(from, [x, y], dx, dy) {
  const wider = (x * dx + (y * dy) / box.aspect) / (1 + 1 / box.aspect ** 2); // the nearest point with the aspect
  const right = from.left + from.width, bottom = from.top + from.width / box.aspect;
  const room = Math.min(x < 0 ? right : canvas.width - from.left, (y < 0 ? bottom : canvas.height - from.top) * box.aspect);
  const width = Math.min(room, Math.max(from.width + wider, box.least));
  putBox(x < 0 ? right - width : from.left, y < 0 ? bottom - width / box.aspect : from.top, width);
}

function showPlacing(placing) {
  box.placing = placing;
  frame.hidden = find("placing").hidden = !placing;
  if (placing) frame.focus({ preventScroll: true });
}

// `stage.js` calls it with a state of the photo.
box.open = (told) => {
  find("move-box").hidden = !told;
  if (!told) { box.placed = true; showPlacing(false); return; }
  Object.assign(box, { aspect: told.aspect, least: told.least * canvas.width, placed: told.placed });
  putBox(told.at[0] * canvas.width, told.at[1] * canvas.height, told.at[2] * canvas.width);
  if (box.placing || !told.placed) showPlacing(!told.placed);
};

async function takeBox() {
  const { left, top, width } = box;
  if (!(await goOn(server.choose_box, { box: [left / canvas.width, top / canvas.height, width / canvas.width] }))) return;
  const at = document.activeElement; // whoever has gone on to a slider meanwhile stays there
  if (!at || at === document.body || frame.contains(at) || find("placing").contains(at)) pane.focus({ preventScroll: true });
  const line = document.querySelector("#status p"); // it said what to do, unless there is a warning by now
  if (line && !line.textContent.startsWith("⚠")) line.textContent = "This part is edited. Press “box” to move it.";
}
const moveBox = () => { if (!find("move-box").hidden && box.placed) showPlacing(!box.placing); };
find("move-box").addEventListener("click", moveBox);
find("take-box").addEventListener("click", takeBox);

let grip = null; // what is dragged
frame.addEventListener("pointerdown", (event) => {
  event.stopPropagation(); // the photo below stays
  if (event.button || grip) return;
  const corner = event.target.dataset.corner?.split(",").map(Number);
  grip = { id: event.pointerId, x: event.clientX, y: event.clientY, corner, from: { ...box } };
  frame.setPointerCapture(event.pointerId);
});
frame.addEventListener("pointermove", (event) => {
  if (grip?.id !== event.pointerId) return;
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  const [dx, dy] = [(event.clientX - grip.x) * scale, (event.clientY - grip.y) * scale];
  if (grip.corner) sizeBox(grip.from, grip.corner, dx, dy);
  else putBox(grip.from.left + dx, grip.from.top + dy, grip.from.width);
});
for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => { grip = null; });

const nudged = (x, y) => () => {
  const step = NUDGE * Math.max(canvas.width, canvas.height);
  putBox(box.left + x * step, box.top + y * step, box.width);
};
const boxKeys = {
  ArrowLeft: nudged(-1, 0), ArrowRight: nudged(1, 0), ArrowUp: nudged(0, -1), ArrowDown: nudged(0, 1),
  "+": () => growBox(GROWTH), "=": () => growBox(GROWTH), "-": () => growBox(1 / GROWTH), Enter: takeBox, Escape: moveBox,
};
frame.addEventListener("keydown", (event) => {
  const act = event.ctrlKey || event.metaKey || event.altKey ? null : boxKeys[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation(); // the same keys move and zoom the photo
  act();
});
