// A native range input: reached by Tab, moved by the arrow keys, read out with its label and the words of its value.
// The slider of ipywidgets has no accessible name, and says a number in place of the words.
export default {
  render({ model, el }) {
    const label = document.createElement("label");
    const name = document.createElement("span");
    const input = Object.assign(document.createElement("input"), { type: "range", min: 0 });
    const output = document.createElement("output");
    const show = () => {
      const options = model.get("options");
      input.max = options.length - 1;
      input.value = options.indexOf(model.get("value"));
      input.setAttribute("aria-valuetext", model.get("value"));
      output.value = model.get("value");
    };
    input.setAttribute("aria-label", model.get("description"));
    input.dataset.lmSuppressShortcuts = "true"; // the arrow keys are for the slider, not for JupyterLab's cells
    input.style.cssText = "width: 20em; margin: 2px 1em 2px 0; vertical-align: middle";
    input.addEventListener("input", () => {
      model.set("value", model.get("options")[input.value]);
      model.save_changes();
    });
    model.on("change:options", show);
    model.on("change:value", show);
    show();
    name.textContent = model.get("description");
    name.style.cssText = "display: inline-block; min-width: 8em";
    label.append(name, input, output);
    el.style.color = "var(--jp-ui-font-color1, inherit)";
    el.append(label);
  },
};
