// The live picture. One request is under way at most; while it is, only the newest slider values are remembered
// ("newest wins"), so that a drag never builds a queue however slow the renderer is.
const pump = { token: null, face: null, crop: null, shown: null, version: -1, generation: null, strengths: {}, space: null, wanted: null, dirty: false, busy: false, changed: 0, frames: 0, actions: 0, photoAction: 0, live: null, liveFrames: 0 };
window.facePump = pump;
const PATIENCE = 20000; // ms until the page says that it waits in vain, and between two reloads
const RETRY = 2000; // ms between two looks at whether the server is back
const RELOADED = "face-editor-reloaded"; // when the page last reloaded itself, kept over reloads

async function paint(reply) {
  const { version } = pump;
  if (await view.show(reply.src, reply.left, reply.top, () => version === pump.version)) pump.shown = reply.src;
}

function say(text, wrong = false) {
  const line = find("timing");
  line.ariaLive = wrong ? "polite" : "off"; // timings change with every picture: nothing to read aloud
  line.classList.toggle("wrong", wrong);
  line.textContent = text;
}
const complain = (text) => say("⚠ " + text, true);

// What the page itself has to say stands once, where people look first: in the status line above the picture.
function announce(text) {
  const line = document.querySelector("#status p");
  if (!line) { complain(text); return; }
  line.textContent = "⚠ " + text;
  line.scrollIntoView({ block: "nearest" });
}
pump.announce = announce;

async function reachable() {
  try { return (await fetch(location.href, { method: "HEAD", cache: "no-store" })).ok; } catch { return false; }
}

// Begin anew as soon as the server answers; not again and again where that does not help.
async function beginAnew(text) {
  if (pump.lost) return;
  pump.lost = true;
  announce(text);
  while (!(await reachable())) await new Promise((done) => setTimeout(done, RETRY));
  if (Date.now() - Number(sessionStorage.getItem(RELOADED) ?? 0) < PATIENCE) return;
  sessionStorage.setItem(RELOADED, Date.now());
  location.reload();
}

setTimeout(async () => {
  if (pump.version >= 0) return;
  if (await reachable()) {
    announce("The server's answers have not arrived yet. Behind a proxy that takes off a path, the app needs --root-path.");
  } else {
    beginAnew("The server does not answer. This page goes on by itself when it does.");
  }
}, PATIENCE);
const ask = async (question, more = {}) => {
  const { token, version, strengths, space } = pump;
  const reply = await question({ token, version, strengths, space, ...more });
  if (!reply) throw new Error("no answer"); // Gradio's client swallows what went wrong
  return reply;
};

async function run() {
  if (pump.busy || !pump.dirty || !pump.token || pump.live || !box.placed) return;
  pump.busy = true;
  while (pump.dirty) {
    pump.dirty = false;
    const { changed, version } = pump;
    try {
      const reply = await ask(server.draw_frame);
      if (version !== pump.version || reply.overtaken) continue; // another photo arrived meanwhile
      if (reply.over) { beginAnew(reply.error); continue; }
      if (reply.error) { complain(reply.error); continue; }
      await paint(reply);
      flow.changed();
      pump.frames += 1;
      pump.latency = performance.now() - changed;
      say(`picture ${pump.latency.toFixed(0)} ms, of which drawing ${reply.milliseconds.toFixed(0)} ms · ${reply.engine}`);
    } catch {
      complain("The server does not answer; trying again.");
      pump.dirty = true;
      setTimeout(run, 1000);
      break;
    }
  }
  pump.busy = false;
}

// Sliders call this on every input, key, typed number and reset; equal values are not asked for again.
pump.set = (name, value) => {
  const strength = value ?? 0; // an emptied number box
  if (pump.strengths[name] === strength) return;
  pump.strengths[name] = strength;
  pump.changed = performance.now();
  pump.dirty = true;
  run();
};

// A number that is typed beyond the ends becomes the end, before anything else sees it.
document.addEventListener("input", ({ target }) => {
  if (target.type !== "number" || !target.closest(".edit-slider") || target.value === "") return;
  const within = Math.min(Number(target.max), Math.max(Number(target.min), Number(target.value)));
  if (within !== Number(target.value)) target.value = within;
}, true);

// Set sliders from the page's own doings, and go on in a space.
pump.apply = (strengths, space = pump.space) => {
  pump.strengths = { ...pump.strengths, ...strengths };
  showStrengths();
  const choice = element.querySelector(`input[name="space"][value="${space}"]`);
  if (choice) choice.checked = true;
  pump.changed = performance.now();
  pump.dirty = true;
  pump.space = space;
  run();
};
// Gradio's sliders take their values from `sliderValues`.
const showStrengths = () => document.querySelectorAll(".apply-strengths").forEach((button) => button.click());

// Edit in one space; what the sliders say is drawn by `run`.
function enter(name) {
  pump.space = name;
  pump.changed = performance.now();
  pump.dirty ||= pump.busy || pump.shown !== null || Object.values(pump.strengths).some((strength) => strength !== 0);
  return run();
}

// Go on with another part of the photo, whose own edits the sliders then show; whether it is on show now.
async function goOn(question, chosen) {
  if (pump.choosing) return false;
  pump.choosing = true;
  let reply;
  try { reply = await ask(question, chosen); } catch { reply = { error: "The server does not answer; try again." }; }
  pump.choosing = false;
  if (reply.overtaken) return false;
  if (reply.over) { beginAnew(reply.error); return false; }
  if (reply.error) { complain(reply.error); return false; }
  if (!(await pump.take(reply.value))) return false;
  if (reply.note) announce(reply.note);
  return true;
}
async function choose(number) {
  if (number !== pump.face && (await goOn(server.choose_face, { face: number }))) find("faces").children[number - 1]?.focus();
}
// A state that brings its own edits along; whether it is newer than what is on show.
pump.take = async (value) => {
  const face = JSON.parse(value);
  if (face.version <= pump.version) return false;
  pump.strengths = face.strengths;
  showStrengths();
  await load(value);
  return true;
};
pump.sliderValues = (names) => names.map((name) => pump.strengths[name] ?? 0);

// The spaces to edit in at once; what the model draws in them follows.
function offer(views, chosen) {
  const group = find("spaces");
  group.querySelectorAll("label").forEach((label) => label.remove());
  group.hidden = views.length < 3;
  for (const view of views) {
    const label = document.createElement("label");
    label.className = "space";
    const choice = Object.assign(document.createElement("input"), { type: "radio", name: "space", value: view.space });
    choice.checked = view.space === chosen;
    const picture = Object.assign(document.createElement("img"), { src: props.blank, alt: `reconstruction in ${view.label}` });
    const words = document.createElement("span");
    words.append(Object.assign(document.createElement("strong"), { textContent: view.label }), document.createElement("small"), document.createElement("small"));
    label.append(choice, picture, words);
    group.append(label);
  }
}

// What the model makes of the face, for inspection: asked for when the photo and its edit are on show.
async function inspect(face, current) {
  let reply;
  try {
    reply = await ask(server.inspect_face);
  } catch {
    await new Promise((done) => setTimeout(done, RETRY));
    if (current()) await inspect(face, current);
    return;
  }
  if (reply.error || !current()) return;
  const labels = [...find("spaces").querySelectorAll("label")];
  for (const [index, view] of reply.spaces.entries()) {
    const [line, time] = labels[index].querySelectorAll("small");
    labels[index].querySelector("img").src = view.src;
    line.textContent = [view.psnr, view.likeness].filter(Boolean).join(" · ");
    time.textContent = view.milliseconds;
  }
  find("fit").hidden = reply.fit === null;
  if (reply.fit !== null) {
    element.querySelector("meter").value = reply.fit;
    find("share").textContent = Math.round(100 * reply.fit) + " %" + (reply.reason && ": " + reply.reason);
  }
  await aligned.open({ ...face, spaces: reply.spaces }, current);
  find("stage").dataset.inspected = face.version;
}

async function load(value = props.value) {
  if (!value) return;
  const face = JSON.parse(value);
  if (face.version <= pump.version) return; // a newer one came while this was on its way
  const first = pump.token === null;
  pump.token = face.token;
  pump.version = face.version;
  box.placed = face.box?.placed ?? true; // nothing is painted into a box before it is taken
  pump.face = face.face;
  find("fit").hidden = true;
  pump.crop = face.crop;
  pump.shown = null;
  if (pump.generation !== face.generation) { // another model, with other sliders
    pump.strengths = pump.generation === null ? pump.strengths : {};
    pump.wanted = null;
    pump.generation = face.generation;
  }
  if (first) flow.resumed(face.token);
  const current = () => face.version === pump.version;
  if (!(await view.open(face, current)) || !(await aligned.open(face, current))) return;
  view.boxes(face.faces, face.face, choose);
  box.open(face.box);
  call(face.thing);
  // A visitor who chose a space keeps it where the next face has it.
  const kept = face.spaces.some((view) => view.space === pump.wanted) ? pump.wanted : face.chosen;
  offer(face.spaces, kept);
  find("stage").dataset.ready = "true";
  document.dispatchEvent(new Event("face-loaded"));
  say(face.timing);
  flow.opened(face.photo);
  const painted = enter(kept);
  noteState();
  await painted;
  if (current() && box.placed) await inspect(face, current);
}

// What is edited, by its name.
function call(thing) {
  find("thing").textContent = thing;
  find("aligned").ariaLabel = `The ${thing} as the model sees it`;
  find("zoom-face").textContent = thing;
  find("zoom-face").title = `The ${thing} that is edited (F)`;
}

element.addEventListener("change", (event) => {
  if (event.target.name !== "space") return;
  pump.wanted = event.target.value;
  enter(pump.wanted);
});
element.addEventListener("click", async (event) => {
  if (!event.target.classList.contains("save")) return;
  event.preventDefault();
  if (!pump.token) return;
  if (!box.placed) { complain("Place the box first, and press “Edit this”."); return; }
  say("Saving the photo.");
  let reply;
  try { reply = await ask(server.save_photo); } catch { reply = { error: "The server does not answer; try again." }; }
  if (reply.overtaken) { say("Something newer is on show: save again."); return; }
  if (reply.error) { complain(reply.error); return; }
  // Browsers bound the length of data: addresses of links.
  download(URL.createObjectURL(await (await fetch(reply.src)).blob()), reply.name);
  say(`Saved as ${reply.name}.`);
});
watch("value", () => load());
load();
