"use strict";
// A table of which only the visible rows, and some around them, are in the document. All rows have the same height. One
// row at a time may have details below it, of any height. Each row is placed by itself: a browser takes several
// milliseconds to lay out a table anew, and would do so for each row that comes into view.

const MARGIN = 10; // Rows above and below the visible ones.
const PRINTED = 500; // More rows than these are not printed.

// Returns an element with children. Strings become text, never HTML.
function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

class List {
  items = [];
  drawn = new Map(); // The rows in the document by their position: the row, and its details if they are open.
  active = 0; // The position of the row that the keyboard is on.
  open = -1; // The position of the row whose details are open.
  openHeight = 0;
  rowHeight = 40;
  printing = false;

  // `box` scrolls and has a table with `body`. `row` and `details` make the elements of an item. A row has a button.
  constructor({ box, body, header, row, details }) {
    Object.assign(this, { box, body, header, row, details });
    box.addEventListener("keydown", (event) => this.pressed(event));
    box.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()), { passive: true });
    body.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      // Whoever selects text does not want to open the row.
      if (row && getSelection().isCollapsed) this.toggle(Number(row.dataset.position));
    });
    new ResizeObserver(() => (this.measure() ? this.redraw() : this.draw())).observe(box);
    matchMedia("print").addEventListener("change", (event) => this.print(event.matches));
    addEventListener("beforeprint", () => this.print(true));
    addEventListener("afterprint", () => this.print(false));
    this.redraw();
  }

  show(items) {
    Object.assign(this, { items, active: 0, open: -1, openHeight: 0 });
    this.box.scrollTop = 0;
    this.redraw();
  }

  // The distance of a row from the top of the first one, in pixels.
  top(position) {
    return position * this.rowHeight + (this.open >= 0 && position > this.open ? this.openHeight : 0);
  }

  // The position of the row at a distance, also if its details are there.
  at(distance) {
    const { open, openHeight, rowHeight } = this;
    return open >= 0 && distance >= (open + 1) * rowHeight
      ? Math.max(open, Math.floor((distance - openHeight) / rowHeight)) : Math.floor(distance / rowHeight);
  }

  range() {
    const { box, items } = this;
    if (this.printing) return [0, Math.min(items.length, PRINTED)];
    const first = Math.max(0, this.at(box.scrollTop) - MARGIN);
    return [first, Math.min(items.length, Math.max(first, this.at(box.scrollTop + box.clientHeight)) + MARGIN)];
  }

  redraw() {
    const hadFocus = this.body.contains(document.activeElement);
    // If the heights are others than expected, the places of the rows are wrong.
    for (let pass = 0; pass === 0 || (pass === 1 && this.measure()); pass += 1) {
      this.drawn.clear();
      this.body.replaceChildren();
      this.draw();
    }
    if (hadFocus) this.focus();
  }

  // Adds the rows that became visible and removes the others. Rows that stay are not touched, so they keep the focus.
  draw() {
    const [first, last] = this.range();
    for (const [position, rows] of this.drawn) {
      if (position >= first && position < last) continue;
      // The focus must not fall back to the start of the document.
      if (rows.some((row) => row.contains(document.activeElement))) this.box.focus({ preventScroll: true });
      rows.forEach((row) => row.remove());
      this.drawn.delete(position);
    }
    let next = this.body.firstChild;
    for (let position = first; position < last; position += 1) {
      const rows = this.drawn.get(position) ?? this.made(position);
      if (!this.drawn.has(position)) rows.forEach((row) => this.body.insertBefore(row, next));
      this.drawn.set(position, rows);
      next = rows.at(-1).nextSibling;
    }
    this.body.style.height = this.printing ? "" : `${this.top(this.items.length)}px`;
    this.focusable(first);
  }

  // The elements of an item, at their place.
  made(position) {
    const row = this.row(this.items[position]);
    row.dataset.position = position;
    row.classList.toggle("odd", position % 2 === 1);
    row.setAttribute("aria-rowindex", position + 2);
    row.style.top = `${this.top(position)}px`;
    row.querySelector("button").setAttribute("aria-expanded", position === this.open);
    if (position !== this.open) return [row];
    const details = this.details(this.items[position]);
    details.style.top = `${this.top(position) + this.rowHeight}px`;
    return [row, details];
  }

  // Reads heights from the layout, which takes time: not while scrolling. Returns whether they changed.
  measure() {
    const before = [this.rowHeight, this.openHeight];
    const height = (row) => row?.getBoundingClientRect().height;
    const [any] = this.drawn.values();
    this.rowHeight = height(any?.[0]) || this.rowHeight;
    this.openHeight = this.open < 0 ? 0 : height(this.drawn.get(this.open)?.[1]) ?? this.openHeight;
    return before[0] !== this.rowHeight || before[1] !== this.openHeight;
  }

  // One row is in the order of the Tab key: the active one, or one that is visible.
  focusable(first) {
    if (!this.drawn.has(this.active) && !this.box.contains(document.activeElement)) {
      this.active = Math.max(0, Math.min(first + MARGIN, this.items.length - 1));
    }
    for (const [position, [row]] of this.drawn) {
      row.querySelector("button").tabIndex = position === this.active ? 0 : -1;
    }
  }

  toggle(position) {
    const scrolled = this.box.scrollTop;
    Object.assign(this, { open: this.open === position ? -1 : position, openHeight: 0 });
    this.redraw();
    this.box.scrollTop = scrolled;
    this.moveTo(position);
  }

  // Moves the keyboard to a row, and scrolls it into view.
  moveTo(position) {
    if (this.items.length === 0) return;
    this.active = Math.max(0, Math.min(position, this.items.length - 1));
    const top = this.top(this.active);
    const most = this.box.clientHeight - this.header.offsetHeight - this.rowHeight;
    this.box.scrollTop = Math.min(top, Math.max(this.box.scrollTop, top - most));
    this.draw();
    this.focus();
  }

  focus() {
    this.drawn.get(this.active)?.[0].querySelector("button").focus({ preventScroll: true });
  }

  pressed(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.rowHeight) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    const isOther = event.ctrlKey || event.metaKey || event.altKey || this.header.contains(event.target);
    if (step === undefined || isOther) return;
    event.preventDefault();
    this.moveTo(this.active + step);
  }

  print(printing) {
    if (this.printing === printing) return;
    this.printing = printing;
    this.redraw();
  }
}
