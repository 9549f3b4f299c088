// Sliders under a finger: one that scrolls past moves nothing; one that goes sideways moves the slider by as much
// as it goes, from where it stood. The style sheet keeps touches from the sliders themselves, which would jump.
const SIDEWAYS = 6; // px until a touch is a drag
const drag = { id: null };
const sliderUnder = (target) => target.closest?.(".edit-slider .slider_input_container")?.querySelector("input[type=range]");

document.addEventListener("pointerdown", (event) => {
  const slider = sliderUnder(event.target);
  if (!slider || getComputedStyle(slider).pointerEvents !== "none") return;
  Object.assign(drag, { id: event.pointerId, slider, x: event.clientX, from: Number(slider.value), moving: false });
});
document.addEventListener("pointermove", (event) => {
  if (drag.id !== event.pointerId) return;
  const { slider } = drag, way = event.clientX - drag.x;
  if (!drag.moving && Math.abs(way) < SIDEWAYS) return;
  if (!drag.moving) {
    drag.moving = true;
    event.target.setPointerCapture?.(event.pointerId);
  }
  const [low, high] = [Number(slider.min), Number(slider.max)];
  slider.value = drag.from + (way / slider.clientWidth) * (high - low); // the browser keeps it within, and to whole steps
  slider.dispatchEvent(new Event("input", { bubbles: true }));
});
for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(end, (event) => { if (drag.id === event.pointerId) drag.id = null; });
}
