// Native controls for a choice among texts: reached by Tab, moved by the arrow keys, read out with their name and words.
// The slider of ipywidgets has no name and says a number for a word; its radio buttons do not belong to their question.
export default {
  render({ model, el }) {
    const choose = (option) => {
      model.set("value", option);
      model.save_changes();
    };
    const [control, show] = (model.get("kind") === "slider" ? slider : radio)(model, choose);
    model.on("change:options", show);
    model.on("change:value", show);
    show();
    el.style.color = "var(--jp-ui-font-color1, inherit)";
    el.append(control);

    // Arrows and letters are not for JupyterLab, where they move and delete cells; Ctrl+S and the like are.
    const mine = ({ target, key, ctrlKey, metaKey }) => {
      const own = key.startsWith("Arrow") || (key.length === 1 && !ctrlKey && !metaKey);
      if (control.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", own);
    };
    window.addEventListener("keydown", mine, true); // the window hears a key before JupyterLab does
    return () => window.removeEventListener("keydown", mine, true);
  },
};

function slider(model, choose) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = Object.assign(document.createElement("input"), { type: "range", min: 0 });
  const words = document.createElement("span");
  name.textContent = model.get("description");
  name.style.cssText = "display: inline-block; min-width: 8em";
  input.setAttribute("aria-label", model.get("description"));
  input.style.cssText = "width: 20em; margin: 2px 1em 2px 0; vertical-align: middle";
  input.addEventListener("input", () => choose(model.get("options")[input.value]));
  words.setAttribute("aria-hidden", "true"); // they are the slider's value already
  label.append(name, input, words);
  const show = () => {
    input.max = model.get("options").length - 1;
    input.value = model.get("options").indexOf(model.get("value"));
    input.setAttribute("aria-valuetext", model.get("value"));
    words.textContent = model.get("value");
  };
  return [label, show];
}

function radio(model, choose) {
  const group = document.createElement("fieldset");
  const question = document.createElement("legend");
  const name = `radio ${Math.random()}`; // the same guess may be shown twice
  question.textContent = model.get("description");
  question.style.padding = 0;
  group.setAttribute("role", "radiogroup");
  group.style.cssText = "border: 0; margin: 0; padding: 0";
  group.append(question);
  const inputs = model.get("options").map((option) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name, value: option });
    input.style.marginRight = "0.5em";
    input.addEventListener("change", () => choose(option));
    label.style.cssText = "display: block; width: max-content; padding: 2px 0";
    label.append(input, option);
    group.append(label);
    return input;
  });
  const show = () => inputs.forEach((input) => (input.checked = input.value === model.get("value")));
  return [group, show];
}
