const say = () => { element.querySelector("p").textContent = props.value; };
watch("value", say);
say();
