// Ways for a photo to come: camera, clipboard, and dropped or pasted anywhere. All of them hand a file to the
// upload button, so that there is one way on from there.
const find = (name) => element.querySelector("." + name);
const receiver = () => document.querySelector("#photo input[type=file]");
const announce = (text) => window.facePump?.announce(text);
const MEGABYTE = 2 ** 20;

function refused(file) {
  if (file.size <= props.most) return false;
  announce(`${file.name || "The photo"} has ${(file.size / MEGABYTE).toFixed(0)} MB; at most ${props.most / MEGABYTE} MB can be sent. The last good result stays.`);
  return true;
}

function hand(file) {
  if (refused(file)) return;
  const files = new DataTransfer();
  files.items.add(file);
  receiver().files = files.files;
  receiver().dispatchEvent(new Event("change", { bubbles: true }));
}

// Chosen by the button itself: what is too large never gets on its way.
document.addEventListener("change", (event) => {
  if (event.target !== receiver()) return;
  if (![...event.target.files].some(refused)) {
    window.facePump.photoAction = ++window.facePump.actions;
    return;
  }
  event.stopImmediatePropagation();
  event.target.value = "";
}, true);

// Browsers say nothing of a file that is chosen twice in a row, unless the first was let go of.
document.addEventListener("change", (event) => {
  if (event.target === receiver()) setTimeout(() => { event.target.value = ""; });
});

// Files of a drag, a paste or the clipboard.
const carried = (transfer) => [...(transfer?.files ?? [])];
let inside = 0; // elements that a drag has entered and not left
const curtain = (shown) => { find("curtain").hidden = !shown; };
const takesFiles = (event) => event.dataTransfer?.types.includes("Files") && !event.target.closest?.("[data-own-drop], #own-file, #own-photo");
document.addEventListener("dragenter", (event) => { if (takesFiles(event)) { inside += 1; curtain(true); } });
document.addEventListener("dragleave", () => { inside = Math.max(0, inside - 1); if (!inside) curtain(false); });
document.addEventListener("dragover", (event) => { if (takesFiles(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  inside = 0;
  curtain(false);
  if (!takesFiles(event)) return;
  event.preventDefault();
  const [file] = carried(event.dataTransfer);
  if (file) hand(file);
  else announce("What was dropped is no file: save the picture first, then open it.");
});
const writes = (target) => target.closest?.("input:not([type=range]):not([type=radio]), textarea, [contenteditable]");
document.addEventListener("paste", (event) => {
  if (writes(event.target)) return;
  const [file] = carried(event.clipboardData);
  if (file) hand(file);
  else announce("The clipboard holds no picture.");
});
find("paste").addEventListener("click", async () => {
  let items;
  try {
    items = await navigator.clipboard.read();
  } catch {
    announce("The browser does not let the page read the clipboard. Press Ctrl+V (on a Mac ⌘V) instead.");
    return;
  }
  for (const item of items) {
    const kind = item.types.find((type) => type.startsWith("image/"));
    if (!kind) continue;
    hand(new File([await item.getType(kind)], "pasted." + kind.slice(6).replace("jpeg", "jpg"), { type: kind }));
    return;
  }
  announce("The clipboard holds no picture.");
});

const TROUBLE = {
  NotAllowedError: "The browser does not let the page use the camera: allow it beside the address, then try again.",
  NotFoundError: "There is no camera on this device.",
  NotReadableError: "The camera is in use by another program.",
};
const shutter = find("shutter"), video = element.querySelector("video");
let stream = null;
function close() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = video.srcObject = null;
  if (shutter.open) shutter.close();
}
// The camera's stream, or null, of which the page then says why.
async function openCamera(video) {
  if (!navigator.mediaDevices) {
    announce("Browsers lend a camera only to pages of this computer, or over https.");
    return null;
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ video });
  } catch (error) {
    announce(TROUBLE[error.name] ?? `The camera does not start (${error.name}).`);
    return null;
  }
}
find("camera").addEventListener("click", async () => {
  stream = await openCamera({ width: { ideal: 1280 }, height: { ideal: 720 } });
  if (!stream) return;
  video.srcObject = stream;
  shutter.showModal();
  await video.play();
});
find("take").addEventListener("click", () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  if (!canvas.width) return; // no picture yet
  canvas.getContext("2d").drawImage(video, 0, 0);
  close();
  canvas.toBlob((blob) => hand(new File([blob], "camera.png", { type: "image/png" })), "image/png");
});
find("go-live").addEventListener("click", async () => {
  if (window.facePump.live) return;
  const moving = await openCamera({ width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } });
  if (moving) window.facePump.goLive(moving, hand);
});
find("cancel").addEventListener("click", close);
shutter.addEventListener("close", close);
