// The camera, edited while it moves. One frame is under way at most, and the next one is the newest there is, so
// that nothing falls behind. The server answers with what the edit changes; all else is the camera's own picture.
const LIVE_SIZE = [640, 480], LEAST = 0.5; // px of frames, and the smallest part of that which slow machines come down to
const SLOW = 1000 / 14, QUICK = 1000 / 26; // ms a frame above and below which frames are made smaller and larger
const LOOK_BACK = 24; // frames that are counted
const live = { scale: 1, times: [], ends: [], behind: 0, rate: 0, found: true };
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
const address = () => `${(window.gradio_config?.root ?? location.origin).replace(/\/$/, "")}/gradio_api/live?visit=${encodeURIComponent(pump.token)}`;

pump.goLive = async (stream, hand) => {
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: stream });
  Object.assign(pump, { live: { stream, video, hand, fresh: null, arrived: null } });
  Object.assign(live, { scale: 1, times: [], ends: [], behind: 0, rate: 0, found: true });
  await video.play();
  find("live").hidden = false;
  stream.getVideoTracks()[0]?.addEventListener("ended", endLive);
  watchFrames(video);
};

function endLive() {
  if (!pump.live) return;
  const { stream, video, arrived } = pump.live;
  stream.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  pump.live = null;
  arrived?.(); // who waits for a frame waits no more
  find("live").hidden = true;
  fetch(address(), { method: "POST", keepalive: true }).catch(() => {});
  pump.changed = performance.now();
  pump.dirty = true; // the photo is drawn as the sliders stand by now
  run();
}

// Work goes on with the newest frame as soon as there is one that was not worked on; one is made ready while the
// server has the one before.
function watchFrames(video) {
  const note = (now, told) => {
    if (pump.live?.video !== video) return;
    pump.live.fresh = told?.captureTime ?? now;
    pump.live.arrived?.();
    video.requestVideoFrameCallback ? video.requestVideoFrameCallback(note) : requestAnimationFrame(note);
  };
  note(performance.now());
  work(video);
}

async function work(video) {
  let next = readyFrame(video);
  while (pump.live?.video === video) {
    const ready = await next;
    next = readyFrame(video);
    if (ready) await oneFrame(ready);
  }
}

// The newest frame, cut to size; with its JPEG where it is to be edited.
async function readyFrame(video) {
  const current = () => pump.live?.video === video;
  while (current() && (pump.live.fresh === null || !video.videoWidth)) await new Promise((done) => { pump.live.arrived = done; });
  if (!current()) return null;
  const taken = pump.live.fresh;
  pump.live.fresh = null;
  const fit = Math.min(1, LIVE_SIZE[0] / video.videoWidth, LIVE_SIZE[1] / video.videoHeight) * live.scale;
  const frame = new OffscreenCanvas(Math.round(video.videoWidth * fit), Math.round(video.videoHeight * fit));
  frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
  const edited = Object.values(pump.strengths).some(Boolean);
  return { frame, taken, data: edited ? await frame.convertToBlob({ type: "image/jpeg", quality: 0.9 }) : null };
}

async function oneFrame({ frame, taken, data }) {
  try {
    if (data) await editFrame(frame.getContext("2d"), data);
    else live.rate = 0;
  } catch {
    announce("The server does not answer; the camera is off.");
    endLive();
  }
  if (!pump.live) return;
  const target = find("moving");
  if (target.width !== frame.width || target.height !== frame.height) Object.assign(target, { width: frame.width, height: frame.height });
  target.getContext("2d").drawImage(frame, 0, 0);
  count(taken);
}

async function editFrame(context, data) {
  const reply = await fetch(address(), { method: "POST", body: data, headers: { "x-edit": JSON.stringify(moved(pump.strengths)) } });
  if (!reply.ok) {
    const { error } = await reply.json();
    announce(error);
    endLive();
    return;
  }
  const told = (name) => Number(reply.headers.get("x-" + name) ?? 0);
  if (told("dropped")) return;
  Object.assign(live, { behind: told("behind"), rate: told("rate"), found: Boolean(told("found")), took: told("took") });
  if (reply.status === 204) return;
  const patch = await createImageBitmap(await reply.blob());
  context.drawImage(patch, told("left"), told("top"));
}

// Rate and delay, and the size of frames that follows from them.
function count(taken) {
  const now = performance.now();
  live.ends.push(now);
  live.times.push(now - taken);
  if (live.ends.length > LOOK_BACK) { live.ends.shift(); live.times.shift(); }
  pump.liveFrames += 1;
  const each = (now - live.ends[0]) / Math.max(1, live.ends.length - 1);
  Object.assign(pump.live, { each, last: now - taken, delay: median(live.times), behind: live.behind, rate: live.rate, took: live.took });
  if (pump.liveFrames % 6 || live.ends.length < LOOK_BACK) return;
  const edits = live.rate ? ` · ${live.rate} edits/s, ${live.behind} ms behind` : "";
  find("rate").textContent = live.found ? `${(1000 / each).toFixed(0)} pictures/s · ${pump.live.delay.toFixed(0)} ms${edits}` : "No face is seen.";
  if (each > SLOW && live.scale > LEAST) Object.assign(live, { scale: live.scale * 0.8, ends: [], times: [] });
  else if (each < QUICK && live.scale < 1) Object.assign(live, { scale: Math.min(1, live.scale * 1.25), ends: [], times: [] });
}

find("freeze").addEventListener("click", () => {
  const { video, hand } = pump.live;
  const still = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  still.getContext("2d").drawImage(video, 0, 0);
  endLive();
  still.toBlob((blob) => hand(new File([blob], "camera.png", { type: "image/png" })), "image/png");
});
find("end-live").addEventListener("click", endLive);
