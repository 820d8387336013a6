"use strict";
// Asks the API every few seconds while somebody looks, and shows what it says. Everything is written as text.
const EVERY_MS = 5000, SHOWN_AT_ONCE = 60, FETCH_MS = 10000;
const api = new URL("../api/", location.href.endsWith("/dashboard") ? location.href + "/" : location.href);
const at = id => document.getElementById(id);
const tabs = [["http", "HTTP routes"], ["services", "Services"], ["middlewares", "Middlewares"], ["tcp", "TCP and UDP"], ["certificates", "Certificates"]];
const now = { tab: "http", search: "", status: "", provider: "", entry: "", internal: false, limit: SHOWN_AT_ONCE, open: new Set() };
let data = null, timer = 0, before = "";

function make(tag, options, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(options || {})) {
    if (key === "on") element.addEventListener("click", value);
    else if (key === "text") element.textContent = value;
    else if (key === "class") element.className = value;
    else if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  for (const child of children.flat()) if (child) element.append(child);
  return element;
}

async function ask(path) {
  const answer = await fetch(new URL(path, api), { signal: AbortSignal.timeout(FETCH_MS), headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(path + " answered " + answer.status);
  return answer.json();
}

async function load() {
  clearTimeout(timer);
  try {
    const [raw, overview, entries, version, certificates] = await Promise.all([
      ask("rawdata"), ask("overview"), ask("entrypoints?per_page=1000"), ask("version"), ask("certificates?per_page=1000")]);
    data = { raw, overview, entries, version, certificates };
    at("state").className = "state good";
    at("state").textContent = "Live";
    const text = JSON.stringify(data);
    if (text !== before) { before = text; draw(); }
  } catch (error) {
    at("state").className = "state bad";
    at("state").textContent = "No answer: " + (error.name === "TimeoutError" ? "it takes too long" : error.message);
  }
  if (!document.hidden) timer = setTimeout(load, EVERY_MS);
}

const provider = name => name.slice(name.lastIndexOf("@") + 1);
const qualified = (name, router) => name.includes("@") ? name : name + "@" + provider(router);
const short = (name, router) => provider(name) === provider(router) ? name.slice(0, name.lastIndexOf("@")) : name;
const own = name => provider(name) === "internal";

function figure(label, section) {
  const parts = [];
  if (section.errors) parts.push(make("span", { class: "bad", text: section.errors + (section.errors === 1 ? " error" : " errors") }));
  if (section.errors && section.warnings) parts.push(document.createTextNode(", "));
  if (section.warnings) parts.push(make("span", { class: "warn", text: section.warnings + (section.warnings === 1 ? " warning" : " warnings") }));
  if (!parts.length) parts.push(make("span", { class: "quiet", text: section.total ? "all well" : "none" }));
  return make("div", { class: "figure" }, make("span", { class: "quiet", text: label }), make("b", { text: String(section.total) }), make("div", { class: "parts" }, parts));
}

function drawTop() {
  const { overview, version, entries } = data;
  const name = version.dashboardName || "Gateway";
  at("title").textContent = name;
  document.title = name;
  at("version").textContent = "as Traefik " + version.Version;
  const figures = [["HTTP routers", overview.http.routers], ["HTTP services", overview.http.services], ["Middlewares", overview.http.middlewares], ["TCP routers", overview.tcp.routers], ["TCP services", overview.tcp.services]];
  if (overview.certificates) figures.push(["Certificates", overview.certificates]);
  if (overview.udp.routers.total) figures.push(["UDP routers", overview.udp.routers]);
  at("summary").replaceChildren(...figures.map(([label, section]) => figure(label, section)));
  const counts = {};
  for (const router of ["routers", "tcpRouters", "udpRouters"].flatMap(part => Object.values(data.raw[part] || {})))
    for (const entry of router.using || []) counts[entry] = (counts[entry] || 0) + 1;
  at("entries").replaceChildren(...entries.map(entry => make("button", {
    type: "button", class: "entry", "aria-pressed": String(now.entry === entry.name), title: "Show only what comes in here",
    on: () => { now.entry = now.entry === entry.name ? "" : entry.name; restart(); } },
    make("b", { text: entry.name }), make("span", { class: "mono", text: entry.address }),
    make("span", { class: "quiet", text: (counts[entry.name] || 0) + ((counts[entry.name] || 0) === 1 ? " router" : " routers") }))));
  const providers = new Set((overview.providers || []).map(name => name.toLowerCase()));
  for (const part of ["routers", "services", "middlewares", "tcpRouters", "tcpServices"])
    for (const name of Object.keys(data.raw[part] || {})) if (!own(name)) providers.add(provider(name));
  const chosen = at("provider");
  chosen.replaceChildren(make("option", { value: "", text: "Any provider" }), ...[...providers].sort().map(name => make("option", { value: name, text: name })));
  chosen.value = now.provider;
  const features = overview.features;
  const told = [["Providers", (overview.providers || []).join(", ") || "none"], ["Metrics", features.metrics || "off"], ["Tracing", features.tracing || "off"], ["Access log", features.accessLog ? "on" : "off"], ["Since", new Date(version.startDate).toLocaleString()]];
  at("about").replaceChildren(...told.map(([label, value]) => make("span", { text: label + ": " + value })));
  at("tabs").replaceChildren(...tabs.map(([id, label]) => make("button", { type: "button", "aria-current": now.tab === id ? "page" : undefined, text: label, on: () => { now.tab = id; restart(); } })));
}

const tags = thing => [make("span", { class: "tag", text: provider(thing.name) }), " ", thing.status === "enabled" ? null : make("span", { class: "chip " + (thing.status === "disabled" ? "bad" : "warn"), text: thing.status }), " ",
  thing.condition ? make("span", { class: "chip " + (thing.condition === "down" ? "bad" : "warn"), text: thing.condition === "down" ? "down" : "partly down" }) : null];
// How a thing stands: as it is configured, and for a service as its servers are.
const standing = thing => thing.condition === "down" ? "disabled" : thing.condition && thing.status === "enabled" ? "warning" : thing.status;
function title(thing, key) {
  const toggle = () => { now.open.has(key) ? now.open.delete(key) : now.open.add(key); draw(); };
  return make("div", { class: "name" }, make("button", { type: "button", "aria-expanded": String(now.open.has(key)), text: thing.name.slice(0, thing.name.lastIndexOf("@")), on: toggle }), " ", tags(thing));
}

function servers(service) {
  const balancer = service.loadBalancer, states = service.serverStatus || {}, reasons = service.serverReason || {};
  if (balancer) {
    const all = (balancer.servers || []).map(server => server.url || server.address);
    if (!all.length) return make("div", { class: "chip bad", text: "no server" });
    return make("ul", { class: "servers" }, all.map(url => {
      const down = states[url] === "DOWN";
      return make("li", { class: down ? "down" : "" }, make("span", { class: "dot " + (down ? "bad" : service.status === "disabled" ? "" : "good"), title: states[url] || "unknown" }), make("span", { class: "mono", text: url + (down ? " (down" + (reasons[url] ? ": " + reasons[url] : "") + ")" : "") }));
    }));
  }
  const parts = [];
  const group = service.weighted || service.highestRandomWeight;
  if (group) for (const one of group.services || []) parts.push(one.name + (one.weight === undefined ? "" : " \u00d7 " + one.weight));
  if (service.failover) parts.push(service.failover.service, "else " + service.failover.fallback);
  if (service.mirroring) { parts.push(service.mirroring.service); for (const one of service.mirroring.mirrors || []) parts.push("copy to " + one.name + ", " + (one.percent || 0) + " %"); }
  return make("div", { class: "chips" }, parts.map(text => make("span", { class: "chip", text })));
}

function errors(thing) {
  if (!thing.error || !thing.error.length) return null;
  return make("ul", { class: "errors" + (thing.status === "warning" ? " warning" : "") }, thing.error.map(text => make("li", { text })));
}

function more(thing, key, related) {
  if (!now.open.has(key)) return null;
  return make("div", { class: "more" }, [thing].concat(related || []).map(part => {
    const { name, ...rest } = part;
    if (rest.rule) delete rest.condition;
    return [make("span", { class: "quiet", text: name }), make("pre", { text: JSON.stringify(rest, null, 2) })];
  }).flat());
}

function route(router, protocol) {
  const raw = data.raw, key = protocol + name(router);
  const service = (protocol === "http" ? raw.services : protocol === "tcp" ? raw.tcpServices : raw.udpServices) || {};
  const known = (protocol === "http" ? raw.middlewares : raw.tcpMiddlewares) || {};
  const target = qualified(router.service || "", router.name), found = service[target];
  const through = (router.middlewares || []).map(name => qualified(name, router.name));
  const chips = through.map(name => {
    const there = known[name];
    return make("span", { class: "chip" + (!there || there.status === "disabled" ? " bad" : there.status === "warning" ? " warn" : ""), title: there ? (there.error || []).join("; ") : "does not exist", text: short(name, router.name) });
  });
  const related = through.filter(name => known[name]).map(name => ({ name, ...known[name] })).concat(found ? [{ name: target, ...found }] : []);
  return make("article", { class: "item " + standing(router) },
    make("div", { class: "way" },
      make("div", {}, make("div", { class: "chips" }, (router.using || router.entryPoints || []).map(text => make("span", { class: "chip", text })), router.tls ? make("span", { class: "tag", text: router.tls.passthrough ? "TLS passed on" : "TLS" }) : null)),
      make("div", {}, title(router, key), make("div", { class: "rule mono", text: router.rule || "" })),
      make("div", {}, chips.length ? make("div", { class: "chips" }, chips) : make("span", { class: "quiet none", text: "no middleware" })),
      make("div", {}, make("div", {}, make("span", { class: found && standing(found) !== "disabled" ? "" : own(target) ? "" : "chip bad", text: short(target, router.name) })), found ? servers(found) : own(target) ? null : make("span", { class: "quiet", text: "does not exist" }))),
    errors(router), found ? errors(found) : null, more(router, key, related));
}
const name = thing => "/" + thing.name;

function thing(item, kind) {
  const key = kind + name(item), users = item.usedBy || [];
  const type = Object.keys(item).find(field => typeof item[field] === "object" && !Array.isArray(item[field]) && field !== "serverStatus");
  const right = kind === "service" ? servers(item) : make("code", { text: type ? JSON.stringify(item[type]) : "" });
  return make("article", { class: "item " + standing(item) },
    make("div", { class: "way two" },
      make("div", {}, title(item, key), make("div", { class: "quiet", text: type || "of the gateway" })),
      make("div", {}, make("div", { class: "rule" }, right), make("div", { class: "quiet", text: users.length ? "used by " + users.join(", ") : "not used" }))),
    errors(item), more(item, key));
}

function certificate(one) {
  const days = Math.floor((new Date(one.notAfter) - Date.now()) / 86400000);
  const state = one.status === "expired" ? "disabled" : one.status === "warning" ? "warning" : "enabled";
  return make("article", { class: "item " + state }, make("div", { class: "way two" },
    make("div", {}, make("div", { class: "name", text: one.commonName || one.sans[0] || one.serialNumber }), make("div", { class: "quiet", text: "by " + (one.issuerCN || one.issuerOrg || "itself") + ", " + one.keyType + " " + (one.keySize || "") })),
    make("div", {}, make("div", { class: "chips" }, one.sans.map(text => make("span", { class: "chip", text }))), make("div", { class: "quiet", text: (days < 0 ? "expired " + -days : "expires in " + days) + " days" + (days < 0 ? " ago" : "") }))));
}

// What is wrong comes first.
const rank = { disabled: -2, warning: -1 };
const named = part => Object.entries(part || {}).map(([name, thing]) => ({ name, ...thing })).sort((a, b) => (rank[standing(a)] || 0) - (rank[standing(b)] || 0) || a.name.localeCompare(b.name, undefined, { numeric: true }));
function keeps(item, extra) {
  if (now.status && standing(item) !== now.status) return false;
  if (!now.internal && !now.search && own(item.name) && standing(item) === "enabled") return false;
  if (now.provider && provider(item.name) !== now.provider) return false;
  return !now.search || JSON.stringify([item, extra]).toLowerCase().includes(now.search);
}

function chosen() {
  const raw = data.raw, here = router => !now.entry || (router.using || router.entryPoints || []).includes(now.entry);
  // A route stands as the servers of its service do.
  const led = (part, services) => Object.fromEntries(Object.entries(part || {}).map(([name, router]) => [name, { ...router, condition: ((services || {})[qualified(router.service || "", name)] || {}).condition }]));
  const routes = (part, services, protocol) => named(led(part, services)).filter(router => here(router) && keeps(router, (services || {})[qualified(router.service || "", router.name)])).map(router => () => route(router, protocol));
  switch (now.tab) {
    case "services": return named(raw.services).filter(item => keeps(item)).map(item => () => thing(item, "service"));
    case "middlewares": return named(raw.middlewares).concat(named(raw.tcpMiddlewares)).filter(item => keeps(item)).map(item => () => thing(item, "middleware"));
    case "tcp": return routes(raw.tcpRouters, raw.tcpServices, "tcp").concat(routes(raw.udpRouters, raw.udpServices, "udp"));
    case "certificates": return data.certificates.filter(one => !now.search || JSON.stringify(one).toLowerCase().includes(now.search)).map(one => () => certificate(one));
    default: return routes(raw.routers, raw.services, "http");
  }
}

const narrowed = () => now.search || now.status || now.provider || now.entry;
function draw() {
  if (!data) return;
  drawTop();
  const all = chosen(), shown = all.slice(0, now.limit).map(show => show());
  at("count").textContent = all.length + " shown" + (narrowed() ? " of what is there" : "");
  if (!all.length) {
    const text = narrowed() ? "Nothing here is as you ask." : now.tab === "http" ? "No route is configured yet: files and labels of containers make them." : "There is nothing of this kind.";
    shown.push(make("p", { class: "empty", text }));
  }
  if (all.length > now.limit) shown.push(make("button", { type: "button", class: "plain rest", text: "Show the other " + (all.length - now.limit), on: () => { now.limit = all.length; draw(); } }));
  at("list").replaceChildren(...shown);
}
function restart() { now.limit = SHOWN_AT_ONCE; draw(); }

at("search").addEventListener("input", event => { now.search = event.target.value.trim().toLowerCase(); restart(); });
for (const id of ["status", "provider"]) at(id).addEventListener("change", event => { now[id] = event.target.value; restart(); });
at("internal").addEventListener("change", event => { now.internal = event.target.checked; restart(); });
at("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) load(); });
load();
