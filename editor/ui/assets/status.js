const say = () => {
  const line = element.querySelector("p");
  line.textContent = props.value;
  if (String(props.value).startsWith("⚠")) line.scrollIntoView({ block: "nearest" }); // on a phone it may be out of sight
};
watch("value", say);
say();
