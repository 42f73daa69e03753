// Sort, filter and page the tables. Without this script their first rows are on the page.
for (const root of document.querySelectorAll(".table")) {
  const {columns, rows, perPage} = JSON.parse(root.querySelector("script").textContent);
  const [body, status] = [root.querySelector("tbody"), root.querySelector("[role=status]")];
  const [search, choices] = [root.querySelector("input"), [...root.querySelectorAll("select")]];
  const [back, next] = root.querySelectorAll(".pages button");
  const text = rows.map(row => row.filter((_, k) => columns[k].kind === "text")
    .map(value => [value].flat()[0]).join("\n").toLowerCase());
  let [order, page] = [rows.map((_, i) => i), 0];
  let shown = order;

  const cell = (value, column) => {
    const td = document.createElement("td");
    td.className = column.kind;
    if (Array.isArray(value)) {  // [text, anchor]
      const a = td.appendChild(document.createElement("a"));
      [a.textContent, a.href] = value;
    } else if (column.kind === "number") {
      td.textContent = value === null ? "–" : value.toLocaleString("en", {
        minimumFractionDigits: column.digits, maximumFractionDigits: column.digits,
      });
    } else td.textContent = value;
    return td;
  };
  const draw = () => {
    const last = Math.max(0, Math.ceil(shown.length / perPage) - 1);
    page = Math.min(page, last);
    const visible = shown.slice(page * perPage, (page + 1) * perPage);
    body.replaceChildren(...visible.map(i => {
      const tr = document.createElement("tr");
      tr.append(...rows[i].map((value, k) => cell(value, columns[k])));
      return tr;
    }));
    const n = x => x.toLocaleString("en");
    status.textContent = (shown.length
      ? `${n(page * perPage + 1)} to ${n(page * perPage + visible.length)} of ${n(shown.length)}`
      : "no rows match") + (shown.length < rows.length ? ` (${n(rows.length)} in all)` : "");
    [back.disabled, next.disabled] = [page === 0, page === last];
    back.parentElement.hidden = rows.length <= perPage && shown.length === rows.length;
  };
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = choices.filter(s => s.value).map(s => [Number(s.dataset.column), s.value]);
    const parts = value => String([value].flat()[0]).split(", ");
    shown = order.filter(i => words.every(word => text[i].includes(word))
      && chosen.every(([k, value]) => parts(rows[i][k]).includes(value)));
    page = 0;
    draw();
  };
  const sort = (th, k) => {
    const numbers = columns[k].kind === "number";
    const before = th.getAttribute("aria-sort");
    // Numbers begin with the largest, words with the first; empty cells stay at the end.
    const up = before ? before === "descending" : !numbers;
    for (const other of root.querySelectorAll("th")) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = i => [rows[i][k]].flat()[0];
    const empty = i => key(i) === null || key(i) === "";
    const {compare} = new Intl.Collator("en", {numeric: true, sensitivity: "base"});
    order.sort((a, b) => empty(a) - empty(b)
      || (empty(a) ? 0 : numbers ? key(a) - key(b) : compare(key(a), key(b))) * (up ? 1 : -1)
      || a - b);
    filter();
  };
  root.querySelectorAll("th").forEach((th, k) => {
    const button = document.createElement("button");
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => sort(th, k));
  });
  search.addEventListener("input", filter);
  for (const choice of choices) choice.addEventListener("change", filter);
  back.addEventListener("click", () => { page--; draw(); });
  next.addEventListener("click", () => { page++; draw(); });
  if (rows.length > 12) root.querySelector(".controls").hidden = false;
  draw();
}

// One sound at a time, and a link to a card opens what it is folded into.
document.addEventListener("play", event => {
  for (const each of document.querySelectorAll("audio")) if (each !== event.target) each.pause();
}, true);
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = target?.closest("details");
  if (folded && !folded.open) { folded.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", unfold);
unfold();
