// The page: asks the API, and shows what it answered. No state but what stands in the address and, for this tab, the key and the tenant.

const of = (id) => document.getElementById(id);
const query = of("query"), results = of("results"), status = of("status"), collection = of("collection");
const SHOWN = 20;
const ATTEMPTS = 5; // of a request to a service that is busy
const PAUSE = 2; // seconds, where nobody says how long to wait
const ADDRESS = 8_000; // characters of an address that everything on its way takes
let answer = null, asking = null, looking = null, names = null;

function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// What the service answers, which has a list under a name.
// A busy service names the seconds to wait: the page does, and asks again, until the answer comes or something else is asked.
async function ask(path, list, { body, signal } = {}) {
  const headers = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  const tenant = sessionStorage.getItem("tenant");
  if (tenant) headers["X-Tenant"] = encodeURIComponent(tenant);
  const options = body ? { method: "POST", body: JSON.stringify(body) } : {};
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(path, { ...options, headers, signal }).catch(() => {
      signal?.throwIfAborted();
      throw new Error("The service cannot be reached; try again.");
    });
    const data = await response.json().catch(() => null);
    signal?.throwIfAborted();
    if (response.ok && Array.isArray(data?.[list])) return data;
    const foreign = `What answered (status ${response.status}) is not the service, or not as it should; try again.`; // a proxy, say
    const { type, message } = typeof data?.error?.message === "string" ? data.error : { message: foreign };
    if (response.status === 401 || response.status === 403) of("key-form").hidden = false;
    if (message.includes("X-Tenant")) of("tenant-form").hidden = false; // none was named, or one that may not be
    const wait = Number(response.headers.get("Retry-After"));
    if (response.status !== 429 || attempt === ATTEMPTS) {
      const again = wait && response.status !== 429 ? ` (again in ${wait} s)` : "";
      throw Object.assign(new Error(message + again), { type });
    }
    if (body) say(`The service is busy; asking again in ${wait || PAUSE} s …`);
    await new Promise((resolve) => setTimeout(resolve, (wait || PAUSE) * 1000));
    signal?.throwIfAborted();
  }
}

// What went wrong, for who searches.
function told(error, name) {
  if (error.type !== "CollectionNotFound") return error.message;
  if (name && name !== names?.default) return `There is no collection ${name}; choose another one.`;
  return `Nothing is in the collection ${names?.default ?? ""} yet; fill it with: search ingest FOLDER --url ${new URL(".", location)}`;
}

function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

async function search() {
  asking?.abort();
  asking = null;
  remember();
  const listing = list();
  const text = query.value.trim();
  if (!text) return nothing("");
  asking = new AbortController();
  const { signal } = asking;
  say("Searching …");
  const conditions = chosen(), name = collection.value;
  const wanted = {
    query: text,
    collection: name || null,
    filter: conditions.length ? { must: conditions } : null,
    group_by: of("grouped").checked ? "document" : null,
    retrieval: of("retrieval").value || null,
  };
  try {
    answer = await found(wanted, signal);
    of("key-form").hidden = of("tenant-form").hidden = true;
    show();
  } catch (error) {
    if (error.type === "CollectionNotFound") await listing; // to name it
    if (!signal.aborted) nothing(told(error, name), true);
  }
}

// As many passages as the service gives unasked, where it takes no search for so many.
async function found(wanted, signal) {
  try {
    return await ask("v1/search", "hits", { body: { ...wanted, limit: SHOWN }, signal });
  } catch (refusal) {
    if (refusal.type !== "InvalidQuery") throw refusal;
    const given = await ask("v1/search", "hits", { body: wanted, signal }); // which meets any other fault again
    return { ...given, warnings: [...given.warnings, `${refusal.message}; these are as many as it gives unasked`] };
  }
}

function nothing(text, bad = false) {
  answer = null;
  results.replaceChildren();
  of("timings").hidden = true;
  say(text, bad);
}

const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
const reranked = () => document.querySelector('input[name="order"]:checked').value === "reranked";

function show() {
  const by = reranked() ? (hit) => hit.rank : (hit) => hit.retrieval_rank;
  const hits = [...answer.hits].sort((one, other) => by(one) - by(other));
  const words = terms(answer.query);
  const at = results.contains(document.activeElement) ? document.activeElement.closest("li").dataset : null;
  results.replaceChildren(...hits.map((hit, place) => shown(hit, place + 1, words)));
  if (at) [...results.children].find((one) => one.dataset.document === at.document && one.dataset.rank === at.rank)?.focus();
  const because = answer.empty_because || "nothing was found";
  const count = hits.length === 0 ? `${because[0].toUpperCase()}${because.slice(1)}.` : counted(hits.length, "passage");
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
  if (hit.precedence) facts.push([hit.precedence > 0 ? "stands first" : "stands last", "by its wording"]);
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

// Offers what tells documents apart and, whether they have it or not, what is chosen.
function offer(conditions, { fields = [], ranges = [], documents = 0 } = {}, ...notes) {
  const values = new Map(fields.filter((one) => one.values.length > 1 || one.values[0].documents < documents).map((one) => [one.field, one.values]));
  const bounds = new Map(ranges.map((one) => [one.field, one]));
  const checked = new Set();
  for (const { key, match, range } of conditions.flatMap((one) => one.should ?? [one])) {
    if (range) bounds.set(key, { ...bounds.get(key), ...range });
    if (!match) continue;
    checked.add(JSON.stringify([key, match.value]));
    const among = values.get(key) ?? [];
    if (!among.some((one) => one.value === match.value)) values.set(key, [...among, match]);
  }
  const box = (key, { value, documents: number }) => {
    const input = made("input", { type: "checkbox", value: JSON.stringify(value) });
    input.checked = checked.has(JSON.stringify([key, value]));
    return made("label", {}, input, " ", made("bdi", {}, String(value)), number ? ` (${number})` : "");
  };
  const bound = (word, name, placeholder = "", value = "") =>
    made("label", {}, `${word} `, made("input", { type: "number", name, step: "any", placeholder, value }));
  const field = (key, ...labels) => made("fieldset", { "data-field": key }, made("legend", {}, made("bdi", {}, called(key))), ...labels);
  of("fields").replaceChildren(
    ...[...values].map(([key, among]) => field(key, ...among.map((one) => box(key, one)))),
    ...[...bounds].map(([key, { least, most, gte, lte }]) => field(key, bound("from", "gte", least, gte), bound("to", "lte", most, lte))),
    ...notes.map((note) => made("p", {}, note)));
  return chosen();
}

async function facets() {
  looking?.abort();
  if (!of("filters").open) return;
  looking = new AbortController();
  const { signal } = looking;
  try {
    if (!names) await listed();
    const there = await ask(`v1/collections/${encodeURIComponent(collection.value)}/facets`, "fields", { signal });
    const left = ["value", "field"].map((what) => [there.left_out[`${what}s`], what]).filter(([number]) => number);
    const notes = left.length ? [`Not offered: ${left.map((one) => counted(...one)).join(", ")}.`] : [];
    offer(chosen(), there, ...notes);
    if (!of("fields").childElementCount) offer([], {}, "The documents have nothing to filter by.");
  } catch (error) {
    if (!signal.aborted) offer(chosen(), {}, told(error, collection.value));
  }
}

async function listed() {
  names = await ask("v1/collections", "collections");
  const all = names.collections.flatMap((one) => (one.aliases.length ? one.aliases : [one.name]));
  const before = [...collection.options].map((one) => one.value), name = collection.value;
  if (!all.includes(name) && names.collections.some((one) => one.name === name)) all.push(name); // of an address; it has aliases by now
  const rest = all.filter((one) => one !== names.default), offered = [names.default, ...rest];
  if (JSON.stringify(offered) === JSON.stringify(before)) return; // a box that is open stays so
  collection.replaceChildren(...offered.map((one) => made("option", { value: one }, one)));
  of("which").hidden = rest.length === 0;
  if (offered.includes(name)) collection.value = name;
  else if (name) changed(); // it is gone
}

// The collections, which come and go: anew with every search, which waits for no list and needs none.
async function list() {
  try {
    await listed();
  } catch (error) {
    if (!asking) say(error.message, true);
  }
}

// Filters are a collection's own.
function changed() {
  offer([]);
  facets();
}

// The address of the page holds the query and its options, so that it can be sent to others and gone back to; one that would be too long holds nothing.

function address() {
  const conditions = chosen();
  const parts = {
    q: query.value.trim(),
    collection: collection.value === names?.default ? "" : collection.value,
    retrieval: of("retrieval").value,
    group_by: of("grouped").checked ? "document" : "",
    order: reranked() ? "" : "retrieval",
    filter: conditions.length ? JSON.stringify({ must: conditions }) : "",
  };
  const written = new URLSearchParams(Object.entries(parts).filter(([, part]) => part)).toString();
  return written && written.length <= ADDRESS ? `?${written}` : location.pathname;
}

function remember(how = "pushState") {
  const now = address();
  if (now !== (location.search || location.pathname)) history[how](null, "", now);
}

function recall() {
  const params = new URLSearchParams(location.search), part = (name) => params.get(name) ?? "";
  query.value = part("q").replace(/\s+/g, " ").trim();
  const name = part("collection") || (names?.default ?? "");
  if (![...collection.options].some((one) => one.value === name) && name) collection.append(made("option", { value: name }, name));
  collection.value = name;
  of("retrieval").value = part("retrieval");
  of("grouped").checked = part("group_by") === "document";
  document.querySelector(`input[name="order"][value="${part("order") === "retrieval" ? "retrieval" : "reranked"}"]`).checked = true;
  const understood = taken(part("filter"));
  if (!understood) offer([]);
  facets();
  if (understood) {
    remember("replaceState");
    return search();
  }
  asking?.abort();
  list();
  nothing("The filter in this page's address is none that the page offers; choose filters here, and search again.", true);
}

// Whether the filter of an address can be chosen here, as it then is.
function taken(filter) {
  try {
    const wanted = filter ? JSON.parse(filter) : { must: [] };
    return JSON.stringify({ must: offer(wanted.must) }) === JSON.stringify(wanted);
  } catch {
    return false;
  }
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
of("order").addEventListener("change", () => { remember("replaceState"); if (answer) show(); });
of("grouped").addEventListener("change", search);
of("retrieval").addEventListener("change", search);
of("fields").addEventListener("change", search);
of("filters").addEventListener("toggle", facets);
collection.addEventListener("change", () => { changed(); search(); });
of("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = of("key").value.trim().replace(/^Bearer\s+/i, "");
  if (/^[!-~]*$/.test(key)) use("key", key);
  else say("No key has such characters; copy it again, and nothing around it.", true);
});
of("tenant-form").addEventListener("submit", (event) => { event.preventDefault(); use("tenant", of("tenant").value.trim()); });

function use(name, value) {
  sessionStorage.setItem(name, value);
  of(`${name}-form`).hidden = true;
  facets();
  search();
}

addEventListener("popstate", recall);
recall();
