"use strict";
// Elements out of names, attributes and children. Texts are only ever texts, so no name of an image can become markup.

function byId(id) {
  return document.getElementById(id);
}

function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}

function options(select, names, chosen) {
  select.replaceChildren(...names.map(([value, text]) => make("option", { value }, text)));
  select.value = chosen;
}

// A table that may be wider than the screen scrolls in its own box, by keyboard too.
function scrolling(label, content) {
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, content);
}
