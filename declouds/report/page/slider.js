"use strict";
// Two pictures of one size over each other, with a line between them that is dragged or moved by the arrow keys.

function slider(name, size, left, right) {
  const input = make("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": `Image ${name}: how much shows ${left[0]}` });
  const sides = [left, right].map(([title, file], at) =>
    make("figure", { class: at ? "side after" : "side" },
      make("img", { src: file, alt: `Image ${name}: ${title}`, loading: "lazy", draggable: "false", class: Math.max(...size) < 400 ? "grain" : null }),
      make("figcaption", {}, title)));
  const stage = make("div", { class: "stage" }, ...sides, input, make("div", { class: "bar" }));
  stage.style.aspectRatio = `${size[0]} / ${size[1]}`;

  function show(percent) {
    stage.style.setProperty("--at", percent + "%");
    input.setAttribute("aria-valuetext", `${Math.round(percent)} % ${left[0]}`);
  }
  function follow(event) {
    const box = stage.getBoundingClientRect();
    input.value = Math.min(100, Math.max(0, 100 * (event.clientX - box.left) / box.width));
    show(Number(input.value));
  }
  let start = 0;  // where the pointer went down
  stage.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    start = event.clientX;
  });
  stage.addEventListener("pointermove", event => {
    // A finger that goes down scrolls the page.
    if (stage.hasPointerCapture(event.pointerId) && Math.abs(event.clientX - start) > 4) follow(event);
  });
  stage.addEventListener("click", event => {
    follow(event);
    input.focus({ preventScroll: true });
  });
  input.addEventListener("input", () => show(Number(input.value)));
  show(50);
  return stage;
}
