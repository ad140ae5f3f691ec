// What pages do beyond plain HTML; without it each of them still works.
"use strict";

// "/" goes to the search field, from anywhere but another field.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  const field = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (field && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    field.focus();
    field.select();
  }
});

// What is pasted where nothing is typed is looked for: a certificate, a fingerprint, host:port.
document.addEventListener("paste", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable]");
  const field = document.querySelector("[data-key]");
  const text = event.clipboardData.getData("text/plain").trim();
  if (!field || typing || !text) return;
  event.preventDefault();
  field.value = text;
  field.form.requestSubmit();
});

// Fields and values while a query is typed.
for (const input of document.querySelectorAll("[data-complete]")) {
  const list = document.createElement("ul");
  list.className = "completions";
  list.id = "completions";
  list.setAttribute("role", "listbox");
  list.hidden = true;
  input.after(list);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");
  let answer = null;
  let chosen = -1;
  let asked = 0;

  const close = () => {
    list.hidden = true;
    chosen = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const choose = (index) => {
    chosen = index;
    [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    if (index >= 0) input.setAttribute("aria-activedescendant", list.children[index].id);
  };
  const take = (index) => {
    const text = answer.suggestions[index].text;
    const end = answer.start + answer.length;
    input.value = input.value.slice(0, answer.start) + text + input.value.slice(end);
    input.setSelectionRange(answer.start + text.length, answer.start + text.length);
    close();
    ask();
  };
  const show = () => {
    list.replaceChildren(...answer.suggestions.slice(0, 10).map((suggestion, index) => {
      const item = document.createElement("li");
      item.id = `completion-${index}`;
      item.setAttribute("role", "option");
      item.textContent = suggestion.text + (suggestion.description ? `  —  ${suggestion.description}` : "");
      item.addEventListener("pointerdown", (event) => { event.preventDefault(); take(index); });
      return item;
    }));
    list.hidden = !list.children.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    choose(-1);
  };
  const ask = async () => {
    const number = ++asked;
    const query = new URLSearchParams({ q: input.value, position: String(input.selectionStart) });
    const response = await fetch(`${input.dataset.complete}?${query}`, { credentials: "same-origin" });
    if (number !== asked || !response.ok) return;
    answer = await response.json();
    show();
  };
  input.addEventListener("input", ask);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const last = list.children.length - 1;
    if (event.key === "ArrowDown") choose(chosen >= last ? 0 : chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen <= 0 ? last : chosen - 1);
    else if (event.key === "Enter" && chosen >= 0) take(chosen);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
}

// What is opened only now and then is fetched when it is opened.
for (const box of document.querySelectorAll("details[data-load]")) {
  box.addEventListener("toggle", async () => {
    if (!box.open || box.dataset.loaded) return;
    box.dataset.loaded = "yes";
    const response = await fetch(box.dataset.load, { credentials: "same-origin" });
    if (!response.ok || response.redirected) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const part = page.getElementById("part");
    if (part) box.replaceChildren(box.querySelector("summary"), part);
  });
}

// All rows of a page are chosen at once, and none again.
const choose = document.querySelector("[data-choose]");
if (choose) {
  choose.hidden = false;
  choose.addEventListener("click", () => {
    const boxes = [...choose.form.querySelectorAll("input[type=checkbox]")];
    const some = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = some;
  });
}

// The secret of a link stands behind its "#", which no collector sees: from there it goes into its field.
const secret = document.querySelector("[data-fragment]");
if (secret && location.hash.length > 1) {
  secret.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
}

// A button that copies what stands beside it, and says so.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.nextElementSibling.textContent = "Copied.";
  });
}

// What agents report shows by itself: the parts that live are fetched again, and put in place if they differ.
const living = [...document.querySelectorAll("[data-live]")];
if (living.length) {
  const renew = (live, page) => {
    const fresh = page.getElementById(live.id);
    if (!fresh || fresh.innerHTML === live.innerHTML || live.contains(document.activeElement)) return;
    const open = [...live.querySelectorAll("details")].map((each) => each.open);
    live.replaceChildren(...fresh.childNodes);
    live.querySelectorAll("details").forEach((each, index) => { each.open = Boolean(open[index]); });
  };
  // Who is not signed in any more is told so, with the way back to this page, and sees no news.
  const leave = (way) => {
    if (!timer) return;
    clearInterval(timer);
    timer = 0;
    const said = document.createElement("p");
    said.className = "notice warn";
    said.setAttribute("role", "alert");
    const link = document.createElement("a");
    link.href = way;
    link.textContent = "Sign in";
    said.append("You are signed out, and what is new does not show here. ", link);
    document.getElementById("main").prepend(said);
  };
  const refresh = async () => {
    if (document.hidden) return;
    // Nobody does that: it does not keep the session from ending (api/security.py).
    const headers = { "X-Keycensus-Refresh": "yes" };
    const response = await fetch(location.href, { credentials: "same-origin", headers });
    if (response.redirected && new URL(response.url).pathname === "/sign-in") leave(response.url);
    if (!response.ok || response.redirected) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    living.forEach((live) => renew(live, page));
  };
  let timer = setInterval(refresh, 4000);
}
