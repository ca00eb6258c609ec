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

    // The arrow keys are for the control, not for JupyterLab's cells; all others are JupyterLab's: Ctrl+S saves.
    const arrows = ({ target, key }) => {
      if (control.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", key.startsWith("Arrow"));
    };
    window.addEventListener("keydown", arrows, true); // the window hears a key before JupyterLab does
    return () => window.removeEventListener("keydown", arrows, true);
  },
};

function slider(model, choose) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = Object.assign(document.createElement("input"), { type: "range", min: 0 });
  const output = document.createElement("output");
  name.textContent = model.get("description");
  name.style.cssText = "display: inline-block; min-width: 8em";
  input.setAttribute("aria-label", model.get("description"));
  input.style.cssText = "width: 20em; margin: 2px 1em 2px 0; vertical-align: middle";
  input.addEventListener("input", () => choose(model.get("options")[input.value]));
  label.append(name, input, output);
  const show = () => {
    input.max = model.get("options").length - 1;
    input.value = model.get("options").indexOf(model.get("value"));
    input.setAttribute("aria-valuetext", model.get("value"));
    output.value = model.get("value");
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
