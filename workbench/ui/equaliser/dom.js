// Small helpers to build elements. Names come from uploaded files: they enter as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  undo: "M6 3 2.5 6.5 6 10M3 6.5h7a3.5 3.5 0 0 1 0 7H6.5",
  redo: "M10 3l3.5 3.5L10 10M13 6.5H6a3.5 3.5 0 0 0 0 7h3.5",
  reset: "M3 2.5v4h4M3.4 6.3A5.2 5.2 0 1 1 3 9.5",
  brush: "M13.5 2.5 7.2 8.8M7.2 8.8c-2-.3-3.3.8-3.4 2.6-.1 1.2-.7 1.8-1.8 2 2.6 1 6.2-.2 6.2-3.2z",
  lock: "M5 7V5.2a3 3 0 0 1 6 0V7M3.5 7h9v6.5h-9z",
};

/** An element with a class, attributes and children (text or elements). */
function element(tag, className, attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** An SVG element with attributes and children. */
function shape(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A small line icon; the text beside it says what it means. */
function icon(name) {
  const path = shape("path", { d: ICONS[name] });
  return shape("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, path);
}

/** Set text only where it changed, so that a frame lays out no more than it must. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute only where it changed. */
function setAttribute(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}
