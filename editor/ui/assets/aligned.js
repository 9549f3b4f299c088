// The face as the model sees it, cut out and upright: any two of the cropped photo, its reconstructions and the
// edit, side by side under a slider. The edit is cut out of the photo's canvas.
const EDITED = "edited", INPUT = "input";
const aligned = { pictures: new Map(), left: INPUT, right: EDITED, aspect: 1 };

function drawAligned(name) {
  const target = find(name === "left" ? "before" : "after"), context = target.getContext("2d");
  const shown = aligned[name];
  context.setTransform(1, 0, 0, 1, 0, 0);
  if (shown !== EDITED) {
    const image = aligned.pictures.get(shown);
    if (image) context.drawImage(image, 0, 0, target.width, target.height);
    return;
  }
  cutOut(target);
}

// The chosen face as it is on the photo's canvas, upright, over all of another canvas.
function cutOut(target) {
  if (!view.toView) return;
  const context = target.getContext("2d"), matrix = new DOMMatrix(view.toView).inverse();
  context.clearRect(0, 0, target.width, target.height);
  context.setTransform(new DOMMatrix().scale(target.width, target.height).multiply(matrix));
  context.drawImage(canvas, 0, 0);
}

// Pictures that are no squares are shown as they are.
aligned.shape = (aspect) => {
  aligned.aspect = aspect;
  find("stage").style.setProperty("--aspect", aspect);
  for (const name of ["before", "after"]) find(name).height = Math.round(find(name).width / aspect);
};

// The crop at once, reconstructions when they are there.
aligned.open = async (face, current) => {
  const known = face.spaces.filter((space) => space.src);
  const sources = [[INPUT, "Cropped photo", face.crop], ...known.map((space) => [space.space, space.label, space.src])];
  const pictures = await Promise.all(sources.map(([, , source]) => picture(source)));
  if (!current()) return false;
  aligned.shape(face.aspect);
  aligned.pictures = new Map(sources.map(([name], i) => [name, pictures[i]]));
  const names = [...sources.map(([name, label]) => [name, label]), [EDITED, "Edited"]];
  for (const side of ["left", "right"]) {
    const chosen = [...names, ...face.spaces.map((space) => [space.space])];
    if (!chosen.some(([name]) => name === aligned[side])) aligned[side] = side === "left" ? INPUT : EDITED;
    const options = names.map(([value, textContent]) => Object.assign(document.createElement("option"), { value, textContent }));
    find(side).replaceChildren(...options);
    find(side).value = aligned[side];
    drawAligned(side);
  }
  return true;
};
aligned.refresh = () => { for (const side of ["left", "right"]) if (aligned[side] === EDITED) drawAligned(side); };
view.painted = () => { if (!view.held) aligned.refresh(); };

element.addEventListener("change", (event) => {
  for (const side of ["left", "right"]) {
    if (event.target !== find(side)) continue;
    aligned[side] = event.target.value;
    drawAligned(side);
  }
});
element.addEventListener("input", (event) => {
  if (event.target.classList.contains("wipe")) find("compare").style.setProperty("--cut", event.target.value + "%");
});
