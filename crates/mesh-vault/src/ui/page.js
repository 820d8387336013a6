"use strict";

// The token lives in this variable alone: closing or reloading the page forgets it.
let token = "";

const POLL_MILLISECONDS = 3000;
const element = (id) => document.getElementById(id);

async function ask(path, options = {}) {
  const headers = { "X-Vault-Request": "true" };
  if (token) headers["X-Vault-Token"] = token;
  const answer = await fetch("/v1/" + path, { ...options, headers, redirect: "error" });
  const text = await answer.text();
  let body = {};
  try { body = text ? JSON.parse(text) : {}; } catch { /* a body that is not JSON says nothing */ }
  if (!answer.ok) {
    const errors = Array.isArray(body.errors) ? body.errors.join("; ") : "";
    throw new Error(errors || "The server answered " + answer.status + ".");
  }
  return body;
}

function make(tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
}

function define(list, pairs) {
  list.replaceChildren(...pairs.filter(([, value]) => value !== undefined && value !== "")
    .flatMap(([name, value]) => [make("dt", name), make("dd", String(value))]));
}

function row(cells) {
  const made = make("tr");
  made.append(...cells.map((cell) => make("td", cell)));
  return made;
}

function problem(error) {
  const shown = element("problem");
  shown.hidden = !error;
  shown.textContent = error ? error.message : "";
}

async function state() {
  const shown = element("state");
  try {
    const seal = await ask("sys/seal-status");
    const [text, kind] = !seal.initialized ? ["Not initialized", "warn"]
      : seal.sealed ? ["Sealed", "bad"] : ["Unsealed", "good"];
    shown.textContent = text;
    shown.className = "state " + kind;
    define(element("server"), [
      ["Version", seal.version],
      ["Storage", seal.storage_type],
      ["Cluster", seal.cluster_name],
      ["Shares", seal.initialized ? seal.t + " of " + seal.n + " unseal" : undefined],
      ["Progress", seal.sealed && seal.initialized ? seal.progress + " of " + seal.t : undefined],
    ]);
    element("unseal").hidden = !(seal.initialized && seal.sealed);
    if (seal.sealed && token) forget();
  } catch (error) {
    shown.textContent = "Not reachable";
    shown.className = "state bad";
  }
}

function forget() {
  token = "";
  element("inside").hidden = true;
  element("session").hidden = true;
  element("login").hidden = false;
}

function mounts(list, found, third) {
  const paths = Object.keys(found).sort();
  list.replaceChildren(...paths.map((path) => {
    const mount = found[path];
    return row([path, mount.type, third(mount), mount.description || ""]);
  }));
}

async function policies(names) {
  element("policies").replaceChildren(...names.map((name) => {
    const details = make("details");
    details.append(make("summary", name));
    details.addEventListener("toggle", async () => {
      if (!details.open || details.childElementCount > 1) return;
      const shown = make("pre", "…");
      details.append(shown);
      try {
        const read = await ask("sys/policies/acl/" + encodeURIComponent(name));
        shown.textContent = name === "root" ? "May do everything." : read.data.policy;
      } catch (error) {
        shown.textContent = error.message;
      }
    });
    return details;
  }));
}

async function show() {
  const self = (await ask("auth/token/lookup-self")).data;
  define(element("who"), [
    ["Name", self.display_name],
    ["Policies", (self.policies || []).join(", ")],
    ["Accessor", self.accessor],
    ["Ends", self.expire_time || "never"],
  ]);
  element("login").hidden = true;
  element("session").hidden = false;
  element("inside").hidden = false;
  const part = async (list, columns, fill) => {
    try { await fill(); } catch (error) {
      const cell = make("td", error.message);
      cell.colSpan = columns;
      const only = make("tr");
      only.append(cell);
      list.replaceChildren(columns ? only : make("p", error.message));
    }
  };
  await part(element("secrets"), 4, async () => {
    const found = (await ask("sys/mounts")).data;
    mounts(element("secrets"), found, (mount) => (mount.options && mount.options.version) || "");
  });
  await part(element("auth"), 4, async () => mounts(element("auth"), (await ask("sys/auth")).data, () => ""));
  await part(element("policies"), 0, async () => policies((await ask("sys/policies/acl?list=true")).data.keys));
}

element("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = element("token").value.trim();
  element("token").value = "";
  problem(null);
  try { await show(); } catch (error) { forget(); problem(error); }
});

element("logout").addEventListener("click", () => { forget(); problem(null); });

element("unseal").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = element("share").value.trim();
  element("share").value = "";
  problem(null);
  try { await ask("sys/unseal", { method: "PUT", body: JSON.stringify({ key }) }); } catch (error) { problem(error); }
  await state();
});

state();
setInterval(state, POLL_MILLISECONDS);
