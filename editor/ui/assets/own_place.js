// The face as the model sees it; a click, or the arrow keys, say which place an edit shall change.
window.ownEdits ??= {};
const part = element.querySelector(".part");
const place = { x: 0.5, y: 0.5, rank: 1 };
const picture = Object.assign(document.createElement("img"), { alt: "the face; arrow keys move the mark", tabIndex: 0 });
const mark = document.createElement("i");
const words = document.createElement("p");
part.classList.add("place");
part.append(picture, mark, words);

function move(x, y) {
  const inside = (value) => Math.min(Math.max(value, 0), 1);
  // Pointed at again, the next channel is tried.
  const again = Math.hypot(x - place.x, y - place.y) < 0.02;
  Object.assign(place, { x: inside(x), y: inside(y), rank: again ? place.rank : 1 });
  mark.style.left = `${100 * place.x}%`;
  mark.style.top = `${100 * place.y}%`;
  words.textContent = "Made again at the same place, the next channel is taken.";
}

const look = () => { if (window.facePump?.crop && picture.src !== window.facePump.crop) picture.src = window.facePump.crop; };
picture.addEventListener("click", (event) => {
  const box = picture.getBoundingClientRect();
  move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
});
picture.addEventListener("keydown", (event) => {
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!way) return;
  event.preventDefault();
  move(place.x + 0.03 * way[0], place.y + 0.03 * way[1]);
});
new IntersectionObserver(look).observe(part);
document.addEventListener("face-loaded", look);
window.ownEdits.place = () => { const { x, y, rank } = place; place.rank += 1; return JSON.stringify([x, y, rank]); };
move(0.5, 0.5);
look();
