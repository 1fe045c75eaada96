// The page: asks the API, and shows what it answered. No state but what stands in the address and, for this tab, the key and the tenant.

const of = (id) => document.getElementById(id);
const query = of("query"), results = of("results"), status = of("status");
const SHOWN = 20;
const ATTEMPTS = 5; // of a request to a service that is busy
let answer = null, asking = null, names = null;

function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A busy service names the seconds to wait: the page does, and asks again, until the answer comes or something else is asked.
async function ask(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  const tenant = sessionStorage.getItem("tenant");
  if (tenant) headers["X-Tenant"] = encodeURIComponent(tenant);
  const options = body ? { method: "POST", body: JSON.stringify(body) } : {};
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(path, { ...options, headers, signal });
    const data = await response.json();
    if (response.ok) return data;
    if (response.status === 401 || response.status === 403) of("key-form").hidden = false;
    if (data.error.message.includes("X-Tenant")) of("tenant-form").hidden = false; // none was named, or one that may not be
    const wait = response.headers.get("Retry-After");
    if (response.status !== 429) throw new Error(data.error.message + (wait ? ` (again in ${wait} s)` : ""));
    if (attempt === ATTEMPTS) throw new Error(data.error.message);
    if (signal) say(`The service is busy; asking again in ${wait} s …`);
    await new Promise((resolve) => setTimeout(resolve, Number(wait) * 1000));
    signal?.throwIfAborted();
  }
}

function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

async function search() {
  asking?.abort();
  const text = query.value.trim();
  remember();
  if (!text) {
    answer = null;
    results.replaceChildren();
    of("timings").hidden = true;
    return say("");
  }
  asking = new AbortController();
  const { signal } = asking;
  say("Searching …");
  try {
    const conditions = chosen();
    answer = await ask("v1/search", {
      query: text,
      limit: SHOWN,
      collection: of("collection").value || null,
      filter: conditions.length ? { must: conditions } : null,
      group_by: of("grouped").checked ? "document" : null,
      retrieval: of("retrieval").value || null,
    }, signal);
    of("key-form").hidden = of("tenant-form").hidden = true;
    show();
  } catch (error) {
    if (signal.aborted) return;
    answer = null;
    results.replaceChildren();
    of("timings").hidden = true;
    say(error instanceof TypeError ? "The service cannot be reached; try again." : error.message, true);
  }
}

const reranked = () => document.querySelector('input[name="order"]:checked').value === "reranked";

function show() {
  const by = reranked() ? (hit) => hit.rank : (hit) => hit.retrieval_rank;
  const hits = [...answer.hits].sort((one, other) => by(one) - by(other));
  const words = terms(answer.query);
  results.replaceChildren(...hits.map((hit, at) => shown(hit, at + 1, words)));
  const because = answer.empty_because || "nothing was found";
  const count = hits.length === 0 ? `${because[0].toUpperCase()}${because.slice(1)}.` : hits.length === 1 ? "1 passage" : `${hits.length} passages`;
  const notes = [answer.rerank_status === "full" ? "" : `reranking: ${answer.rerank_status}, ${answer.reason}`, ...answer.warnings];
  say([count, ...notes.filter(Boolean)].join(" · "));
  timings();
}

function shown(hit, place, words) {
  const moved = hit.retrieval_rank - hit.rank;
  const [arrow, kind, said] = moved > 0 ? [`↑${moved}`, "up", `moved up by ${moved}`]
    : moved < 0 ? [`↓${-moved}`, "down", `moved down by ${-moved}`] : ["=", "same", "not moved"];
  const path = [hit.document_id, hit.page ? `page ${hit.page}` : "", ...hit.headings].filter(Boolean);
  const places = path.flatMap((part, at) => [at ? " › " : "", made("bdi", {}, part)]);
  const facts = [
    ["retrieved", `${hit.retrieval_rank}.`], ["reranked", `${hit.rank}.`], ["cosine", hit.retrieval_score.toFixed(3)],
    ["words", hit.lexical_score === null ? "–" : hit.lexical_score.toFixed(2)],
    ["reranker", hit.rerank_score === null ? "–" : hit.rerank_score.toFixed(2)],
    ["relevant", hit.rerank_probability === null ? "–" : `${Math.round(hit.rerank_probability * 100)} %`],
  ];
  if (hit.truncated) facts.push(["read", `${hit.tokens_seen} of ${hit.tokens_total} tokens`]);
  return made("li", { tabindex: "-1", "data-document": hit.document_id, "data-rank": hit.rank },
    made("h2", {}, made("span", { class: "rank" }, `${place}.`), made("span", { dir: "auto" }, hit.title || hit.document_id),
      made("span", { class: `moved ${kind}`, title: said }, made("span", { "aria-hidden": "true" }, arrow), made("span", { class: "hidden" }, said))),
    made("p", { class: "place" }, ...places),
    highlighted(hit.text, words),
    made("dl", {}, ...facts.map(([name, value]) => made("div", {}, made("dt", {}, name), made("dd", {}, value)))));
}

// Words of the query that may be looked for: not the ones that every text has.
const COMMON = new Set("a an and are as at be by can do does for from how i in is it me my of on or that the to was what when where which who why will with you".split(" "));

function terms(text) {
  const segments = [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)].filter((part) => part.isWordLike);
  const words = segments.map((part) => stem(part.segment)).filter((word) => word && !COMMON.has(word));
  return new Set(words);
}

function stem(word) {
  const lower = word.toLocaleLowerCase();
  return lower.length > 4 ? lower.replace(/(ing|ies|ed|es|s)$/u, "") : lower.length > 3 ? lower.replace(/s$/u, "") : lower;
}

// The passage, with the words of the query marked, and the sentence that has most of them set off.
function highlighted(text, words) {
  const sentences = [...new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(text)].map((part) => {
    const pieces = [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(part.segment)];
    const hits = new Set(pieces.filter((piece) => piece.isWordLike && words.has(stem(piece.segment))).map((piece) => stem(piece.segment)));
    return { pieces, number: hits.size };
  });
  const most = Math.max(0, ...sentences.map((one) => one.number));
  const best = sentences.length > 1 && most > 0 ? sentences.findIndex((one) => one.number === most) : -1;
  const children = sentences.map(({ pieces }, at) => {
    const parts = pieces.map(({ segment, isWordLike }) => isWordLike && words.has(stem(segment)) ? made("mark", {}, segment) : segment);
    return at === best ? made("span", { class: "best" }, ...parts) : made("span", {}, ...parts);
  });
  return made("p", { class: "text", dir: "auto" }, ...children);
}

function timings() {
  const took = answer.timings_ms, stages = ["queue", "embed", "retrieve", "rerank"];
  const whole = stages.reduce((sum, stage) => sum + took[stage], 0) || 1;
  of("bar").replaceChildren(...stages.map((stage) => {
    const part = made("span", { class: stage, title: `${stage}: ${took[stage].toFixed(0)} ms` });
    part.style.width = `${(100 * took[stage]) / whole}%`;
    return part;
  }));
  const times = stages.map((stage) => `${stage} ${took[stage].toFixed(0)}`).join(" + ");
  of("account").textContent = `${times} ms · ${answer.ranking} · ${answer.embedder}${answer.reranker ? `, ${answer.reranker}` : ""}`;
  of("timings").hidden = false;
}

// Filters: what the collection's documents have.

function chosen() {
  const conditions = [];
  for (const field of of("fields").querySelectorAll("fieldset[data-field]")) {
    const key = field.dataset.field;
    const values = [...field.querySelectorAll("input:checked")].map((box) => JSON.parse(box.value));
    const [least, most] = ["gte", "lte"].map((name) => field.querySelector(`input[name="${name}"]`)?.value ?? "");
    if (values.length === 1) conditions.push({ key, match: { value: values[0] } });
    if (values.length > 1) conditions.push({ should: values.map((value) => ({ key, match: { value } })) });
    if (least !== "" || most !== "") {
      conditions.push({ key, range: { ...(least !== "" && { gte: Number(least) }), ...(most !== "" && { lte: Number(most) }) } });
    }
  }
  of("chosen").textContent = conditions.length ? `(${conditions.length})` : "";
  return conditions;
}

// A field's name, without the quotes that its path needs.
function called(path) {
  return path.replace(/^metadata\./u, "").replace(/^"(.*)"$/u, "$1");
}

async function facets() {
  if (!of("filters").open) return of("fields").replaceChildren();
  const name = of("collection").value || names?.default;
  of("fields").replaceChildren();
  if (!name) return;
  try {
    const response = await ask(`v1/collections/${encodeURIComponent(name)}/facets`);
    const fields = response.fields.filter((one) => one.values.length > 1).map((one) => made("fieldset", { "data-field": one.field },
      made("legend", {}, made("bdi", {}, called(one.field))),
      ...one.values.map(({ value, documents }) => made("label", {}, made("input", { type: "checkbox", value: JSON.stringify(value) }), " ", made("bdi", {}, String(value)), ` (${documents})`))));
    const ranges = response.ranges.filter((one) => one.least < one.most).map((one) => made("fieldset", { "data-field": one.field },
      made("legend", {}, made("bdi", {}, called(one.field))),
      made("label", {}, "from ", made("input", { type: "number", name: "gte", step: "any", placeholder: one.least })),
      made("label", {}, "to ", made("input", { type: "number", name: "lte", step: "any", placeholder: one.most }))));
    const none = made("p", {}, "The documents have nothing to filter by.");
    const more = response.left_out.fields ? [made("p", {}, `And ${response.left_out.fields} other fields.`)] : [];
    of("fields").replaceChildren(...(fields.length + ranges.length ? [...fields, ...ranges] : [none]), ...more);
  } catch (error) {
    of("fields").replaceChildren(made("p", {}, error.message));
  }
}

async function begin() {
  try {
    names = await ask("v1/collections");
    const all = names.collections.flatMap((one) => (one.aliases.length ? one.aliases : [one.name]));
    const rest = all.filter((name) => name !== names.default);
    of("collection").replaceChildren(...[names.default, ...rest].map((name) => made("option", { value: name }, name)));
    of("which").hidden = rest.length === 0;
  } catch (error) {
    say(error.message, true);
  }
}

// The address of the page holds the query and its options, so that it can be sent to others and gone back to.

function remember() {
  const text = query.value.trim();
  const address = text ? `?${new URLSearchParams({ q: text })}` : location.pathname;
  if (new URLSearchParams(location.search).get("q") !== (text || null)) history.pushState(null, "", address);
}

function recall() {
  query.value = new URLSearchParams(location.search).get("q") ?? "";
  search();
}

function step(by) {
  const items = [...results.children];
  const at = items.indexOf(document.activeElement);
  const next = at + by;
  if (next < 0) query.focus();
  else items[Math.min(next, items.length - 1)]?.focus();
}

document.addEventListener("keydown", (event) => {
  const from = event.target, typing = from.matches("input:not([type=checkbox], [type=radio]), select");
  const walking = !event.shiftKey && (from === query || from === document.body || from.parentElement === results);
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape") { query.focus(); query.select(); }
  else if (event.key === "ArrowDown" && walking) step(1);
  else if (event.key === "ArrowUp" && walking && from !== query) step(-1);
  else if (typing) return;
  else if (event.key === "/") query.focus();
  else if (event.key === "r") document.querySelector('input[name="order"]:not(:checked)').click();
  else return;
  event.preventDefault();
});

of("form").addEventListener("submit", (event) => { event.preventDefault(); search(); });
of("order").addEventListener("change", () => answer && show());
of("grouped").addEventListener("change", search);
of("retrieval").addEventListener("change", search);
of("fields").addEventListener("change", search);
of("filters").addEventListener("toggle", () => of("fields").childElementCount || facets());
of("collection").addEventListener("change", async () => { await facets(); search(); });
for (const name of ["key", "tenant"]) {
  of(`${name}-form`).addEventListener("submit", async (event) => {
    event.preventDefault();
    sessionStorage.setItem(name, of(name).value.trim());
    of(`${name}-form`).hidden = true;
    say("");
    await begin();
    await facets();
    search();
  });
}
addEventListener("popstate", recall);
await begin();
if (location.search && !asking) recall(); // unless somebody was quicker to ask
