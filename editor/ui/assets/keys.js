// Keys of the page, and the help that lists them.
const helpSheet = find("sheet-of-help");
function help(part) {
  helpSheet.querySelectorAll("section").forEach((section) => section.classList.toggle("asked", section.id === "help-" + part));
  if (!helpSheet.open) helpSheet.showModal();
  helpSheet.querySelector(".asked")?.scrollIntoView({ block: "nearest" });
}
document.addEventListener("click", (event) => {
  const asked = event.target.closest?.("[data-help]");
  if (asked) help(asked.dataset.help);
});
element.querySelectorAll("dialog").forEach((sheet) => {
  sheet.querySelector(".close").addEventListener("click", () => sheet.close());
  sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close(); }); // beside it
});

const written = (target) => target.closest?.("input:not([type=range]):not([type=radio]), textarea, select, [contenteditable]");
const plainKeys = { "?": () => help("keys"), r: surprise, o: () => view.hold(true), f: view.face, b: moveBox, 0: view.all, "+": () => view.zoomBy(1.25), "=": () => view.zoomBy(1.25), "-": () => view.zoomBy(0.8) };
const commandKeys = { z: undo, y: redo, s: () => find("save").click() };
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || document.querySelector("dialog[open]")) return;
  const command = event.ctrlKey || event.metaKey, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  // In a text field Ctrl+Z is the text's own; numbers of sliders have none worth keeping.
  if (written(event.target) && !(command && event.target.type === "number")) return;
  const act = command ? (key === "z" && event.shiftKey ? redo : commandKeys[key]) : plainKeys[key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "o") view.hold(false); });
