// The few drawings of the page: strokes in the colour of the text beside them, hidden from screen readers.

const space = "http://www.w3.org/2000/svg";

const drawings = {
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  again: "M20 11a8 8 0 1 0-2.3 6.3M20 4v7h-7",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  good: "M7 10l4-7c1.7 0 2.6 1.3 2.2 3L12.6 9H19c1.3 0 2.2 1.1 1.9 2.4l-1.5 7c-.2.9-1 1.6-1.9 1.6H7zM3 10h4v10H3z",
  bad: "M17 14l-4 7c-1.7 0-2.6-1.3-2.2-3l.6-3H5c-1.3 0-2.2-1.1-1.9-2.4l1.5-7C4.8 4.7 5.6 4 6.5 4H17zM21 14h-4V4h4z",
  bin: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13M10 11v5M14 11v5",
  close: "M6 6l12 12M18 6L6 18",
  file: "M14 3H6v18h12V7zM14 3v4h4",
  edit: "M4 20l1-4L16 5l3 3L8 19zM13.5 7.5l3 3",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20",
  warn: "M12 4L2.5 20h19zM12 10v5M12 17.5v.5",
};

/** The drawing called `name`. */
export function icon(name) {
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" })) svg.setAttribute(key, value);
  path.setAttribute("d", drawings[name]);
  svg.append(path);
  return svg;
}
