// HTML, and below it a sentence: a screen reader says what changes in an element that stays, so this one stays.
export default {
  render({ model, el }) {
    const [shown, said] = [document.createElement("div"), document.createElement("p")];
    said.setAttribute("aria-live", "polite");
    said.style.margin = "0.5em 0 0";
    const show = () => {
      [shown.innerHTML, said.textContent] = model.get("value");
    };
    model.on("change:value", show);
    show();
    el.classList.add("tlcourse-page");
    el.style.color = "var(--jp-ui-font-color1, inherit)";
    el.append(shown, said);
  },
};
