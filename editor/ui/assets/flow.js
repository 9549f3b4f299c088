// Earlier states of the sliders, to go back and forth between; and edits that are kept, shared and repeated.
const SETTLED = 700; // ms without a change until a state is worth keeping
const MOST_KEPT = 60;
const PRESETS = "face-editor-presets"; // where this browser keeps them
const flow = { photo: null, states: new Map(), timer: 0 }; // of the photo on show, by face

const same = (a, b) => [...new Set([...Object.keys(a), ...Object.keys(b)])].every((name) => (a[name] ?? 0) === (b[name] ?? 0));
const history = () => flow.states.get(pump.face) ?? { entries: [], at: -1 };

function thumbnail() {
  const small = Object.assign(document.createElement("canvas"), { width: Math.round(88 * aligned.aspect), height: 88 });
  cutOut(small);
  return small.toDataURL("image/jpeg", 0.85);
}

function noteState() {
  clearTimeout(flow.timer);
  if (!pump.token || pump.face === null || view.held) return;
  const { entries, at } = history();
  const state = { strengths: { ...pump.strengths }, space: pump.space };
  if (at >= 0 && same(entries[at].strengths, state.strengths) && entries[at].space === state.space) return;
  const kept = [...entries.slice(0, at + 1), { ...state, src: thumbnail() }].slice(-MOST_KEPT);
  flow.states.set(pump.face, { entries: kept, at: kept.length - 1 });
  showHistory();
}

function goTo(index) {
  const { entries } = history();
  if (!entries[index]) return;
  flow.states.set(pump.face, { entries, at: index });
  pump.apply({ ...allAtRest(), ...entries[index].strengths }, entries[index].space);
  showHistory();
}
const undo = () => { noteState(); goTo(history().at - 1); };
const redo = () => { noteState(); goTo(history().at + 1); };

function showHistory() {
  const { entries, at } = history(), strip = find("history");
  find("undo").disabled = at < 1;
  find("redo").disabled = at >= entries.length - 1;
  strip.hidden = entries.length < 2;
  strip.replaceChildren(...entries.map((entry, index) => {
    const step = Object.assign(document.createElement("button"), { type: "button", title: index ? `Edit ${index}` : "As it was" });
    step.setAttribute("aria-current", index === at);
    step.append(Object.assign(document.createElement("img"), { src: entry.src, alt: step.title }));
    step.addEventListener("click", () => goTo(index));
    return step;
  }));
  strip.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// `stage.js` calls these: a face is on show; the picture is that of the sliders.
flow.opened = (photo) => {
  const another = photo !== flow.photo, staying = Object.values(pump.strengths).filter(Boolean).length;
  if (another) {
    flow.states = new Map();
    find("kept").hidden = !staying;
    find("kept").firstElementChild.textContent = staying === 1 ? "One edit stays." : `${staying} edits stay.`;
  }
  flow.photo = photo;
  showHistory();
};
const allAtRest = () => Object.fromEntries(Object.keys(pump.strengths).map((name) => [name, 0]));
find("drop-kept").addEventListener("click", () => { find("kept").hidden = true; pump.apply(allAtRest()); });
flow.changed = () => { if (Object.values(pump.strengths).every((strength) => !strength)) find("kept").hidden = true; clearTimeout(flow.timer); flow.timer = setTimeout(noteState, SETTLED); };
find("undo").addEventListener("click", undo);
find("redo").addEventListener("click", redo);

// What a page that is loaded again goes on with.
const VISIT = "face-editor-visit"; // where this tab keeps it
addEventListener("pagehide", () => {
  const { token, strengths, wanted } = pump;
  try { if (token) sessionStorage.setItem(VISIT, JSON.stringify({ token, strengths, wanted })); } catch { /* it begins anew, then */ }
});
flow.resumed = (token) => {
  let kept = null;
  try { kept = JSON.parse(sessionStorage.getItem(VISIT)); } catch { /* nothing that can be read */ }
  if (kept?.token !== token) return;
  Object.assign(pump, { strengths: kept.strengths, wanted: kept.wanted });
  const names = Object.keys(kept.strengths), since = Date.now();
  const show = () => {
    if (names.every((name) => document.getElementById("slider-" + name))) showStrengths();
    else if (Date.now() - since < PATIENCE) setTimeout(show, 100); // Gradio builds them when it comes to it
  };
  show();
};

// By chance: a few sliders, well within their ends; the others stand at 0.
const FEW = 3, WITHIN = 0.6;
function surprise() {
  const sliders = [...document.querySelectorAll("#edits .edit-slider[id^=slider-] input[type=range]")];
  const strengths = Object.fromEntries(sliders.map((slider) => [slider.closest(".edit-slider").id.slice(7), 0]));
  const names = Object.keys(strengths).sort(() => Math.random() - 0.5).slice(0, FEW);
  for (const slider of sliders) {
    const name = slider.closest(".edit-slider").id.slice(7);
    if (!names.includes(name)) continue;
    const step = Number(slider.step), ends = [Number(slider.min), Number(slider.max)].filter(Boolean); // some start at 0
    const end = ends[Math.floor(Math.random() * ends.length)];
    strengths[name] = Number((Math.round((end * WITHIN * (0.4 + 0.6 * Math.random())) / step) * step).toFixed(2));
  }
  pump.apply(strengths);
}
find("random").addEventListener("click", surprise);

const recipe = find("recipe"), tell = (text) => { recipe.querySelector(".note").textContent = text; };
const storedPresets = () => { try { return JSON.parse(localStorage.getItem(PRESETS)) ?? {}; } catch { return {}; } };
function storePresets(presets) {
  try { localStorage.setItem(PRESETS, JSON.stringify(presets)); } catch { tell("This browser keeps nothing for this page."); }
  const names = Object.keys(presets).sort();
  find("presets").replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { textContent: name, value: name })));
  for (const name of ["use", "drop-preset"]) find(name).disabled = !names.length;
}
find("recipes").addEventListener("click", () => { storePresets(storedPresets()); tell(""); recipe.showModal(); });
const moved = (strengths) => Object.fromEntries(Object.entries(strengths).filter(([, strength]) => strength));
find("keep").addEventListener("click", () => {
  const name = find("preset-name").value.trim();
  if (!name) { tell("Give it a name first."); return; }
  storePresets({ ...storedPresets(), [name]: moved(pump.strengths) });
  tell(`Kept as ${name}.`);
});
find("use").addEventListener("click", () => {
  const strengths = storedPresets()[find("presets").value];
  if (strengths) pump.apply({ ...allAtRest(), ...strengths });
  recipe.close();
});
find("drop-preset").addEventListener("click", () => {
  const { [find("presets").value]: gone, ...presets } = storedPresets();
  storePresets(presets);
});

function download(href, name) {
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), PATIENCE);
}
async function described() {
  const reply = await ask(server.describe_edit).catch(() => ({ error: "The server does not answer; try again." }));
  if (reply.error) tell(reply.error);
  return reply.error ? null : reply;
}
find("save-edit").addEventListener("click", async () => {
  const reply = await described();
  if (!reply) return;
  download(URL.createObjectURL(new Blob([reply.file], { type: "application/json" })), reply.name);
  tell(`Saved as ${reply.name}.`);
});
for (const [name, part] of [["copy-command", "command"], ["copy-python", "python"]]) {
  find(name).addEventListener("click", async () => {
    const reply = await described();
    if (!reply) return;
    try { await navigator.clipboard.writeText(reply[part]); tell("Copied."); } catch { tell(reply[part]); }
  });
}
find("rebase").addEventListener("click", async () => {
  tell("A moment.");
  const reply = await ask(server.rebase_photo).catch(() => ({ error: "The server does not answer; try again." }));
  if (reply.overtaken) return;
  if (reply.error) { tell(reply.error); return; }
  recipe.close();
  await pump.take(reply.value);
});
find("open-edit").addEventListener("click", () => find("edit-file").click());
find("edit-file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  const text = await file.text();
  event.target.value = "";
  const reply = await ask(server.repeat_edit, { file: text }).catch(() => ({ error: "The server does not answer; try again." }));
  if (reply.overtaken) return;
  if (reply.error) { tell(reply.error); return; }
  recipe.close();
  await pump.take(reply.value);
});
