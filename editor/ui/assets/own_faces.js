// Faces to be rated: a click is more, the next one less, a third takes it back.
window.ownEdits ??= {};
const part = element.querySelector(".part");
const SAID = { 0: "not rated", 1: "more", "-1": "less" };
const NEXT = { 0: 1, 1: -1, "-1": 0 };

function show(button, rating) {
  button.dataset.rating = rating;
  button.setAttribute("aria-label", `face ${button.dataset.number}, ${SAID[rating]}`);
  button.querySelector("span").textContent = { 0: "", 1: "👍", "-1": "👎" }[rating];
}

function build() {
  const pictures = JSON.parse(props.value || "[]");
  part.replaceChildren(...pictures.map((source, index) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.dataset.number = index + 1;
    button.append(Object.assign(document.createElement("img"), { src: source, alt: "" }), document.createElement("span"));
    show(button, 0);
    return button;
  }));
}

part.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) show(button, NEXT[button.dataset.rating]);
});
window.ownEdits.ratings = () => JSON.stringify([...part.querySelectorAll("button")].map((button) => Number(button.dataset.rating)));
watch("value", build);
build();
