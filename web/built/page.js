// web/page.ts
var kDebounceMs = 180;
var kCommonWords = new Set("a an and are as at be by do does for from how i in is it my of on or that the this to was what when where which who why with you your".split(" "));
function byId(id) {
	return document.getElementById(id);
}
function make(tag, className = "", text = "") {
	const element = document.createElement(tag);
	if (className) element.className = className;
	if (text) element.textContent = text;
	return element;
}
var token = "";
var Refused = class extends Error {
	status;
	constructor(status, message) {
		super(message);
		this.status = status;
	}
};
async function ask(path, body, options = {}) {
	const headers = {};
	if (token) headers["Authorization"] = "Bearer " + token;
	if (body !== void 0) headers["Content-Type"] = "application/json";
	let response;
	try {
		response = await fetch(path, {
			method: body === void 0 ? "GET" : "POST",
			body: body === void 0 ? void 0 : JSON.stringify(body),
			headers,
			cache: "no-store",
			...options
		});
	} catch (problem) {
		if (problem instanceof DOMException && problem.name === "AbortError") throw problem;
		throw new Refused(0, "The service cannot be reached. Is nearlite serve still running?");
	}
	if (response.ok) return response;
	let message = `The service answered ${response.status}.`;
	try {
		const told = await response.json();
		if (told?.error?.message) message = told.error.message;
	} catch {}
	throw new Refused(response.status, message);
}
function showProblem(problem) {
	if (problem instanceof DOMException && problem.name === "AbortError") return;
	const refused = problem instanceof Refused ? problem : new Refused(0, String(problem));
	byId("token-form").hidden = refused.status !== 401;
	byId("error").hidden = refused.status === 401;
	if (refused.status === 401) {
		byId("token").focus();
		return;
	}
	byId("error").textContent = refused.message.charAt(0).toUpperCase() + refused.message.slice(1);
}
function noProblem() {
	byId("error").hidden = true;
	byId("token-form").hidden = true;
}
var stores = [];
var asked = null;
var timer = 0;
var shown = [];
/** Words of the question, without endings of grammar. */
function stems(text) {
	const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
	return new Set(words.filter((word) => word.length > 1 && !kCommonWords.has(word)).map((word) => word.replace(/(ing|ed|es|s)$/, "")));
}
/** The snippet with the words of the question marked. */
function marked(snippet, question) {
	const paragraph = make("p", "snippet");
	const wanted = stems(question);
	for (const part of snippet.split(/([\p{L}\p{N}]+)/u)) {
		const [stem] = stems(part);
		if (stem !== void 0 && wanted.has(stem)) paragraph.append(make("mark", "", part));
		else paragraph.append(part);
	}
	return paragraph;
}
function bar(label, share, text) {
	const measure = make("div", "measure");
	const line = make("div", "bar");
	const filled = make("span");
	filled.style.width = `${Math.round(Math.min(Math.max(share, 0), 1) * 100)}%`;
	line.append(filled);
	line.setAttribute("role", "img");
	line.setAttribute("aria-label", `${label} ${text}`);
	measure.append(make("span", "", label), line, make("span", "", text));
	return measure;
}
/** One of six colors, the same for a store wherever it is named. */
function tint(name) {
	let sum = 0;
	for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 997;
	return `c${sum % 6}`;
}
function storeTag(name) {
	return make("span", `tag store-name ${tint(name)}`, name);
}
function keyText(key) {
	return Array.isArray(key) ? JSON.stringify(key) : String(key);
}
function titleOf(hit) {
	for (const name of [
		"title",
		"name",
		"subject",
		"package",
		"summary"
	]) {
		const value = hit.fields[name];
		if (typeof value === "string" && value.trim()) return value;
	}
	return keyText(hit.key);
}
function hitItem(hit, question) {
	const item = make("li", "hit");
	const main = make("div");
	const side = make("div", "side");
	const head = make("div", "head");
	const title = make("button", "title", titleOf(hit));
	title.type = "button";
	title.addEventListener("click", () => explain(hit, question));
	head.append(title, storeTag(hit.store));
	if (titleOf(hit) !== keyText(hit.key)) head.append(make("span", "quiet", keyText(hit.key)));
	if (hit.stale) head.append(make("span", "tag warn", "changed since it was embedded"));
	main.append(head, marked(hit.snippet, question), make("p", "quiet", hit.reason));
	if (hit.confidence !== null && hit.confidence !== void 0) side.append(bar("Confidence", hit.confidence, `${Math.round(hit.confidence * 100)} %`));
	else side.append(bar("Score", hit.score, hit.score.toFixed(2)));
	const rank = make("span", "rank", String(hit.rank));
	rank.setAttribute("aria-hidden", "true");
	item.append(rank, main, side);
	return item;
}
function chosenStores() {
	const boxes = [...byId("store-choice").querySelectorAll("input")];
	const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
	return chosen.length === boxes.length ? void 0 : chosen;
}
function filters() {
	const field = byId("filter-field").value;
	const text = byId("filter-value").value.trim();
	if (!field || !text) return [];
	const op = byId("filter-op").value;
	return [{
		field,
		op,
		value: op !== "like" && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
	}];
}
async function search() {
	const question = byId("question").value.trim();
	asked?.abort();
	const url = new URL(location.href);
	if (question) url.searchParams.set("q", question);
	else url.searchParams.delete("q");
	history.replaceState(null, "", url);
	if (!question) {
		showHits({
			query: "",
			complete: true,
			took_ms: 0,
			stores: [],
			hits: []
		});
		return;
	}
	const chosen = chosenStores();
	if (chosen?.length === 0) {
		showEmpty("No store is chosen. Choose one under Filters.");
		return;
	}
	asked = new AbortController();
	byId("status").textContent = "Searching …";
	try {
		const result = await (await ask("/v1/search", {
			query: question,
			k: 20,
			stores: chosen,
			filter: filters(),
			explain: true
		}, { signal: asked.signal })).json();
		noProblem();
		showHits(result);
	} catch (problem) {
		if (!(problem instanceof DOMException)) byId("status").textContent = "";
		showProblem(problem);
	}
}
function showEmpty(text) {
	shown = [];
	byId("hits").replaceChildren();
	byId("status").textContent = "";
	byId("no-hits").hidden = !text;
	byId("no-hits").textContent = text;
}
function showHits(result) {
	if (!result.query) {
		showEmpty(stores.length ? "" : "There is no store yet. nearlite index FILE makes a database searchable, then start the service with it.");
		return;
	}
	if (!result.hits.length) showEmpty("Nothing was found. Try other words, fewer filters, or look under Stores whether everything is embedded.");
	else {
		showEmpty("");
		shown = result.hits;
		byId("hits").replaceChildren(...shown.map((hit) => hitItem(hit, result.query)));
	}
	const records = result.stores.reduce((sum, store) => sum + (store.records ?? 0), 0);
	const failed = result.stores.filter((store) => store.error).map((store) => store.store);
	let text = `${result.hits.length} ${result.hits.length === 1 ? "hit" : "hits"} of ${records.toLocaleString("en")} records in ${result.took_ms.toFixed(1)} ms`;
	if (failed.length) text += ` · not answered: ${failed.join(", ")}`;
	else if (!result.complete && result.incomplete_reason) text += ` · ${result.incomplete_reason}`;
	byId("status").textContent = text;
}
function soon() {
	clearTimeout(timer);
	timer = window.setTimeout(search, kDebounceMs);
}
var openedFrom = null;
function definition(list, name, value) {
	list.append(make("dt", "", name), make("dd", "", value));
}
/** One line as long as the score, a piece for each thing that counted. */
function stacked(parts, score) {
	const line = make("div", "stack");
	line.setAttribute("role", "img");
	line.setAttribute("aria-label", `Score ${score.toFixed(2)}: ${parts.map((part) => `${part.signal} ${part.contribution.toFixed(2)}`).join(", ")}`);
	const whole = Math.max(1, parts.reduce((sum, part) => sum + Math.max(part.contribution, 0), 0));
	parts.forEach((part, i) => {
		const piece = make("span", `c${i % 6}`);
		piece.style.width = `${100 * Math.max(part.contribution, 0) / whole}%`;
		line.append(piece);
	});
	return line;
}
function explain(hit, question) {
	openedFrom = document.activeElement;
	byId("drawer-title").textContent = titleOf(hit);
	const body = byId("drawer-body");
	const about = make("dl");
	definition(about, "Store", hit.store);
	definition(about, "Key", keyText(hit.key));
	definition(about, "Reason", hit.reason);
	definition(about, "Confidence", hit.confidence === null ? "not calibrated: hits are ranked by score" : `${Math.round(hit.confidence * 100)} %`);
	if (hit.stale) definition(about, "State", "the row has changed since it was embedded");
	const chart = make("div", "chart");
	const parts = hit.explain?.parts ?? [];
	const most = Math.max(...parts.map((part) => part.contribution), 1e-9);
	if (parts.length) chart.append(stacked(parts, hit.score));
	parts.forEach((part, i) => {
		const line = bar(part.signal, part.contribution / most, part.contribution.toFixed(2));
		line.classList.add(`c${i % 6}`);
		chart.append(line);
	});
	const sum = parts.map((part) => `${part.signal} ${part.value.toFixed(2)} × ${part.weight.toFixed(2)}`).join(" + ");
	if (sum) chart.append(make("p", "quiet", `${sum} = ${hit.score.toFixed(2)}`));
	const signals = Object.entries(hit.signals).filter((entry) => typeof entry[1] === "number");
	if (!parts.length) for (const [name, value] of signals) chart.append(bar(name, value, value.toFixed(2)));
	const fields = make("dl");
	for (const [name, value] of Object.entries(hit.fields)) definition(fields, name, value === null ? "–" : String(value));
	const alike = make("button", "", "Rows like this one");
	alike.type = "button";
	const list = make("ol");
	alike.addEventListener("click", () => showSimilar(hit, question, list));
	const snippet = marked(hit.snippet, question);
	snippet.classList.add("quote");
	body.replaceChildren(about, make("h4", "", "What counted"), chart, make("h4", "", "Record"), snippet, fields, alike, list);
	byId("drawer").hidden = false;
	byId("drawer-title").focus();
}
async function showSimilar(hit, question, list) {
	try {
		const found = await (await ask(`/v1/stores/${encodeURIComponent(hit.store)}/records/${encodeURIComponent(keyText(hit.key))}/similar?k=5`)).json();
		noProblem();
		list.replaceChildren(...found.hits.map((other) => {
			const item = make("li");
			const whole = {
				...other,
				reason: other.reason ?? "like the row before",
				signals: other.signals ?? { similarity: other.similarity ?? 0 },
				confidence: other.confidence ?? null
			};
			const open = make("button", "title");
			open.append(make("span", "", titleOf(whole)), make("span", "quiet", other.score.toFixed(2)));
			open.type = "button";
			open.addEventListener("click", () => explain(whole, question));
			item.append(open);
			return item;
		}));
		if (!found.hits.length) list.replaceChildren(make("li", "", "There is no other row."));
	} catch (problem) {
		showProblem(problem);
	}
}
function closeDrawer() {
	byId("drawer").hidden = true;
	if (openedFrom instanceof HTMLElement && openedFrom.isConnected) openedFrom.focus();
	else byId("question").focus();
}
function segment(line, name, count, rows) {
	const part = make("span", name);
	part.style.width = `${rows ? 100 * count / rows : 0}%`;
	line.append(part);
}
function runsTable(runs) {
	const scroll = make("div", "scroll");
	const table = make("table");
	const head = make("tr");
	head.append(make("th", "", "Last runs"), make("th", "number", "embedded"), make("th", "number", "removed"), make("th", "number", "time"));
	table.append(head);
	for (const run of runs.slice(0, 5)) {
		const row = make("tr");
		row.append(make("td", "", run.started_at.replace("T", " ").slice(0, 19)), make("td", "number", String(run.embedded)), make("td", "number", String(run.removed)), make("td", "number", `${(run.wall_ms / 1e3).toFixed(1)} s`));
		table.append(row);
	}
	scroll.tabIndex = 0;
	scroll.setAttribute("role", "region");
	scroll.setAttribute("aria-label", "Last runs");
	scroll.append(table);
	return scroll;
}
function storeCard(store) {
	const card = make("article", "store");
	const head = make("div", "row spread");
	const name = make("h3");
	name.append(storeTag(store.store));
	head.append(name);
	const refresh = make("button", "", "Refresh");
	refresh.type = "button";
	refresh.setAttribute("aria-label", `Refresh ${store.store}`);
	refresh.addEventListener("click", () => startJob([store.store]));
	head.append(refresh);
	card.append(head);
	if (store.error) {
		card.append(make("p", "note bad", store.error.message));
		return card;
	}
	const rows = store.rows ?? 0;
	const fresh = store.fresh ?? 0;
	const stale = (store.stale_text ?? 0) + (store.stale_model ?? 0);
	const missing = store.missing ?? 0;
	const line = make("div", "bar");
	line.setAttribute("role", "img");
	line.setAttribute("aria-label", `${fresh} of ${rows} rows fresh, ${stale} stale, ${missing} missing`);
	segment(line, "fresh", fresh, rows);
	segment(line, "stale", stale, rows);
	segment(line, "missing", missing, rows);
	card.append(line);
	const rest = (store.blocked ?? 0) + (store.empty ?? 0) + (store.skipped ?? 0);
	const legend = make("p", "legend");
	[
		["fresh", `${fresh.toLocaleString("en")} of ${rows.toLocaleString("en")} rows fresh`],
		["stale", `${stale.toLocaleString("en")} stale`],
		["missing", `${missing.toLocaleString("en")} missing`],
		["rest", `${rest.toLocaleString("en")} with nothing to embed`]
	].forEach(([name, text], i) => {
		if (i > 0) legend.append(make("span", "spoken", " · "));
		legend.append(make("span", name, text));
	});
	card.append(legend, make("p", "quiet", `${store.backend} index · ${store.model?.split("/").pop()}`));
	if (store.runs?.length) card.append(runsTable(store.runs));
	else card.append(make("p", "quiet", "Never embedded by this service."));
	return card;
}
function tile(figure, about) {
	const box = make("div", "tile");
	box.append(make("b", "", figure), make("span", "", about));
	return box;
}
/** What an operator wants to know before anything else. */
function showTiles() {
	const sum = (of) => stores.reduce((total, store) => total + (of(store) ?? 0), 0);
	const rows = sum((store) => store.rows);
	const wanted = rows - sum((store) => store.blocked) - sum((store) => store.empty) - sum((store) => store.skipped);
	const waiting = sum((store) => store.missing) + sum((store) => store.stale_text) + sum((store) => store.stale_model);
	const share = wanted ? Math.floor(100 * sum((store) => store.fresh) / wanted) : 100;
	byId("tiles").replaceChildren(tile(stores.length.toLocaleString("en"), stores.length === 1 ? "store" : "stores"), tile(rows.toLocaleString("en"), "rows"), tile(`${share} %`, "up to date"), tile(waiting.toLocaleString("en"), waiting === 1 ? "row waits" : "rows wait"));
}
function fillChoices() {
	const choice = byId("store-choice");
	const unchecked = new Set([...choice.querySelectorAll("input")].filter((box) => !box.checked).map((box) => box.value));
	const caption = make("span", "caption", "Stores");
	caption.id = "store-choice-name";
	choice.replaceChildren(caption, ...stores.map((store) => {
		const label = make("label");
		const box = make("input");
		box.type = "checkbox";
		box.value = store.store;
		box.checked = !unchecked.has(store.store);
		box.addEventListener("change", soon);
		label.append(box, " " + store.store);
		return label;
	}));
	const select = byId("filter-field");
	const before = select.value;
	const names = [...new Set(stores.flatMap((store) => store.fields ?? []))];
	const none = make("option", "", "none");
	none.value = "";
	select.replaceChildren(none, ...names.map((name) => make("option", "", name)));
	select.value = names.includes(before) ? before : "";
}
async function loadStores(withRuns) {
	try {
		stores = (await (await ask("/v1/stores")).json()).stores;
		if (withRuns) stores = await Promise.all(stores.map(async (store) => (await ask(`/v1/stores/${encodeURIComponent(store.store)}`)).json()));
		noProblem();
		fillChoices();
		showTiles();
		byId("stores").replaceChildren(...stores.length ? stores.map(storeCard) : [make("p", "note", "There is no store yet. nearlite index FILE makes a database searchable, then start the service with it.")]);
	} catch (problem) {
		showProblem(problem);
	}
}
var job = "";
async function startJob(names) {
	try {
		const started = await (await ask("/v1/backfill", names ? { stores: names } : {})).json();
		noProblem();
		await watchJob(started.id);
	} catch (problem) {
		showProblem(problem);
	}
}
function showJob(kind, data) {
	const text = byId("job-text");
	const progress = byId("job-progress");
	if (kind === "store") {
		text.textContent = `Refreshing ${data.store} …`;
		progress.removeAttribute("value");
	} else if (kind === "progress") {
		const done = Number(data.done), total = Number(data.total);
		text.textContent = `Refreshing ${data.store}: ${done.toLocaleString("en")} of ${total.toLocaleString("en")} rows looked at, ${data.embedded} embedded`;
		if (total > 0) progress.value = done / total;
	} else if (kind === "result") {
		const problem = data.error;
		text.textContent = problem ? `${data.store}: ${problem.message}` : `${data.store}: ${data.embedded} embedded, ${data.removed} removed`;
		progress.value = 1;
	} else if (kind === "end") {
		text.textContent = `${text.textContent ?? ""} · ${data.status}`;
		byId("job-stop").hidden = true;
		progress.hidden = true;
	}
}
/** Reads the events of a job as they come; EventSource cannot send a token. */
async function watchJob(id) {
	job = id;
	byId("job").hidden = false;
	byId("job-stop").hidden = false;
	byId("job-progress").hidden = false;
	byId("job-text").textContent = "Waiting for its turn …";
	const reader = (await ask(`/v1/jobs/${id}/events`)).body.pipeThrough(new TextDecoderStream()).getReader();
	let buffer = "";
	for (;;) {
		const { done, value } = await reader.read();
		if (done) break;
		buffer += value;
		let end = buffer.indexOf("\n\n");
		for (; end >= 0; end = buffer.indexOf("\n\n")) {
			const event = buffer.slice(0, end);
			buffer = buffer.slice(end + 2);
			showJob(/^event: (.*)$/m.exec(event)?.[1] ?? "", JSON.parse(/^data: (.*)$/m.exec(event)?.[1] ?? "{}"));
		}
	}
	await loadStores(true);
}
function show(view) {
	for (const name of ["search", "stores"]) {
		byId(`${name}-view`).hidden = name !== view;
		byId(`show-${name}`).setAttribute("aria-pressed", String(name === view));
	}
	if (view === "stores") loadStores(true);
	else byId("question").focus();
}
function moveTo(step) {
	const titles = [...document.querySelectorAll("#hits .title")];
	const next = titles.indexOf(document.activeElement) + step;
	if (next < 0) byId("question").focus();
	else titles[Math.min(next, titles.length - 1)]?.focus();
}
function onKey(event) {
	const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
	if (event.key === "/" && !typing) {
		event.preventDefault();
		show("search");
	} else if (event.key === "Escape" && !byId("drawer").hidden) closeDrawer();
	else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (!typing || event.target === byId("question")) && !byId("search-view").hidden && byId("drawer").hidden) {
		event.preventDefault();
		moveTo(event.key === "ArrowDown" ? 1 : -1);
	}
}
function switchTheme() {
	const root = document.documentElement;
	const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
	root.dataset.theme = dark ? "light" : "dark";
	localStorage.setItem("nearlite-theme", root.dataset.theme);
}
function begin() {
	const theme = localStorage.getItem("nearlite-theme");
	if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
	byId("theme").addEventListener("click", switchTheme);
	byId("show-search").addEventListener("click", () => show("search"));
	byId("show-stores").addEventListener("click", () => show("stores"));
	byId("drawer-close").addEventListener("click", closeDrawer);
	byId("refresh-all").addEventListener("click", () => startJob());
	byId("job-stop").addEventListener("click", () => ask(`/v1/jobs/${job}`, void 0, { method: "DELETE" }).catch(showProblem));
	byId("question").addEventListener("input", soon);
	for (const id of [
		"filter-field",
		"filter-op",
		"filter-value"
	]) byId(id).addEventListener("input", soon);
	byId("search-form").addEventListener("submit", (event) => {
		event.preventDefault();
		clearTimeout(timer);
		search().then(() => void 0);
	});
	byId("token-form").addEventListener("submit", async (event) => {
		event.preventDefault();
		token = byId("token").value.trim();
		byId("token").value = "";
		await loadStores(false);
		search();
	});
	document.addEventListener("keydown", onKey);
	const question = new URL(location.href).searchParams.get("q");
	if (question) byId("question").value = question;
	byId("question").focus();
	loadStores(false).then(search);
}
begin();
