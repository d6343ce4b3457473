// The instances of the report: search, filters, sorting and details. The List is in list.js.

const MOST = 400000; // Browsers cannot lay out a table of more rows.
const FIELDS = ["account", "region", "kind"];
const LABELS = ["as required", "to change", "in use", "blocked", "unknown", "exempt", "out of scope"];
const STYLES = LABELS.map((label) => label.replaceAll(" ", "-"));

const byId = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const number = (value) => value.toLocaleString("en-US");

const instances = decoded(JSON.parse(byId("data").textContent));
const filter = { text: "", classes: new Set(), account: "", region: "", kind: "" };
const sorted = { field: "class", ascending: true };
const search = byId("search");
const chips = all(".chip");
const headers = all("#list [role=columnheader]");

// The order of the fields is that of `Cells` in embedded.rs.
function decoded({ texts, rows }) {
  const text = (index) => (index === null ? "" : texts[index]);
  return rows.map((cells) => {
    const [account, region, id, name, state, group, decision, dryRun, calls, lastDay, kind, source, ...lists] = cells;
    return {
      id, name: name ?? "", account: text(account), region: text(region), state, group, decision, dryRun, calls,
      lastDay, kind: text(kind), source: text(source), lists: () => lists.map((list) => list.map(text)),
    };
  });
}

function searched(instance) {
  const { id, name, account, region, source, decision, lists } = instance;
  instance.searched ??= [id, name, account, region, source, decision, ...lists().flat()].join("\n").toLowerCase();
  return instance.searched;
}

function selects(instance) {
  return (filter.classes.size === 0 || filter.classes.has(instance.group))
    && FIELDS.every((field) => filter[field] === "" || filter[field] === instance[field])
    && (filter.text === "" || searched(instance).includes(filter.text));
}

// What needs attention comes first, so as required comes last. Use that is not known comes before no use.
const keys = {
  class: (instance) => (instance.group === 0 ? LABELS.length : instance.group),
  calls: (instance) => instance.calls ?? -1,
};

const compared = (a, b) => (a < b ? -1 : Number(a > b));

function update() {
  const key = keys[sorted.field] ?? ((instance) => instance[sorted.field]);
  const sign = sorted.ascending ? 1 : -1;
  const order = (a, b) => sign * compared(key(a), key(b)) || compared(a.id, b.id);
  const shown = instances.filter(selects).sort(order);
  byId("count").textContent = `${number(shown.length)} of ${number(instances.length)} instances.`;
  byId("printed").textContent = shown.length > PRINTED ? `The first ${PRINTED} of them are printed.` : "";
  byId("list").setAttribute("aria-rowcount", shown.length + 1);
  for (const header of headers) {
    const direction = sorted.ascending ? "ascending" : "descending";
    header.setAttribute("aria-sort", header.dataset.field === sorted.field ? direction : "none");
  }
  for (const chip of chips) chip.setAttribute("aria-pressed", filter.classes.has(Number(chip.dataset.class)));
  list.show(shown.slice(0, MOST));
}

// ---- How an instance looks

function row(instance) {
  const button = element("button", "", instance.id);
  button.type = "button";
  const finding = element("span", "", element("span", `dot ${STYLES[instance.group]}`), LABELS[instance.group]);
  const calls = instance.calls === null ? "–" : number(instance.calls);
  const { name, account, region, source } = instance;
  const contents = { id: button, name, account, region, class: finding, source, calls };
  const made = element("div", "row", ...headers.map(({ dataset: { field } }) => {
    const cell = element("div", field, contents[field]);
    cell.setAttribute("role", field === "id" ? "rowheader" : "cell");
    // Long texts are cut.
    if (field === "name" || field === "source") cell.title = contents[field];
    return cell;
  }));
  made.setAttribute("role", "row");
  return made;
}

function usage({ calls, lastDay }) {
  if (calls === null) return "not known";
  const last = lastDay ? `, the last on ${lastDay}` : "";
  return `${number(calls)} ${calls === 1 ? "call" : "calls"} without a token${last}`;
}

function details(instance) {
  const [options, changes, reasons, warnings] = instance.lists();
  const facts = {
    Decision: [instance.decision + (instance.dryRun ? " (the policy only sends a dry run)" : "")],
    Because: reasons, Change: changes, "Options now": options, "Use of IMDSv1": [usage(instance)],
    Source: [instance.source], Name: [instance.name], State: [instance.state ?? "not known"], Warnings: warnings,
  };
  const known = Object.entries(facts).filter(([, texts]) => texts.some((text) => text !== ""));
  const terms = known.map(([term, texts]) => element("div", "",
    element("dt", "", term), ...texts.map((text) => element("dd", "", text))));
  const cell = element("div", "", element("dl", "", ...terms));
  const made = element("div", "details", cell);
  made.setAttribute("role", "row");
  cell.setAttribute("role", "cell");
  cell.setAttribute("aria-colspan", headers.length);
  return made;
}

// ---- What people do

function reset() {
  Object.assign(filter, { text: "", account: "", region: "", kind: "" });
  filter.classes.clear();
  for (const control of [search, ...FIELDS.map(byId)]) control.value = "";
}

// Shows the instances that a link of the summary is about.
function follow({ account, region, field, value, search: text, class: group }) {
  reset();
  const wanted = { account, region, ...(field && { [field]: value }) };
  for (const name of FIELDS.filter((name) => wanted[name])) byId(name).value = filter[name] = wanted[name];
  if (text) filter.text = (search.value = text).toLowerCase();
  if (group) filter.classes.add(Number(group));
  update();
}

// The first click on a column sorts upwards, on the calls downwards.
function sort(field) {
  sorted.ascending = sorted.field === field ? !sorted.ascending : field !== "calls";
  sorted.field = field;
  update();
}

async function copy(button) {
  const code = button.closest(".command").querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    // Without access to the clipboard, the command is selected, so that the keyboard can copy it.
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

document.documentElement.classList.add("scripted");
byId("explorer").hidden = false;
const list = new List({ box: byId("box"), body: byId("body"), header: byId("header"), row, details });

search.addEventListener("input", () => { filter.text = search.value.trim().toLowerCase(); update(); });
byId("reset").addEventListener("click", () => { reset(); update(); });
for (const field of FIELDS) {
  const values = [...new Set(instances.map((instance) => instance[field]))].filter(Boolean).sort();
  const title = (value) => (field === "kind" ? value.replaceAll("-", " ") : value);
  byId(field).append(...values.map((value) => new Option(title(value), value)));
  byId(field).addEventListener("change", (event) => { filter[field] = event.target.value; update(); });
}
for (const chip of chips) {
  const group = Number(chip.dataset.class);
  chip.addEventListener("click", () => { filter.classes.delete(group) || filter.classes.add(group); update(); });
}
for (const header of headers) header.firstElementChild.addEventListener("click", () => sort(header.dataset.field));
document.addEventListener("click", ({ target }) => {
  const link = target.closest("main a[href='#instances']");
  if (link) follow(link.dataset);
  if (target.matches(".copy")) copy(target);
});
update();
