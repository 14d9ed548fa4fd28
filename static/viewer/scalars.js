// The server counts text in Unicode scalar values, JavaScript in UTF-16 units. This is the one place that converts.

/** The UTF-16 index of the scalar value number `offset` in `text`; the text's length where it is shorter. */
export function indexOfScalar(text, offset) {
  let index = 0;
  for (let count = 0; count < offset && index < text.length; count += 1) {
    index += text.codePointAt(index) > 0xffff ? 2 : 1;
  }
  return index;
}

/** Cuts `text` at highlights (pairs of scalar offsets) into `{text, marked}` parts; overlaps are merged. */
export function cutAtHighlights(text, highlights) {
  const parts = [];
  let index = 0;
  let scalar = 0;
  const take = (until, marked) => {
    if (until <= scalar) return;
    const next = index + indexOfScalar(text.slice(index, index + (until - scalar) * 2), until - scalar);
    if (next > index) parts.push({ text: text.slice(index, next), marked });
    index = next;
    scalar = until;
  };
  for (const [start, end] of [...highlights].sort((a, b) => a[0] - b[0])) {
    take(start, false);
    take(end, true);
  }
  if (index < text.length) parts.push({ text: text.slice(index), marked: false });
  return parts;
}
