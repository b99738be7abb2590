// Keys for a page that works without them: each finds the link, button or field that names it in aria-keyshortcuts.
"use strict";

const LETTERS = "fulcrum-review-letters";
const say = (text) => { document.getElementById("say").textContent = text; };
const writing = (element) => element.matches("input:not([type=checkbox], [type=radio]), textarea, select");
const lettersOn = () => localStorage.getItem(LETTERS) !== "off";
let pending = null;

function act(key) {
  const target = document.querySelector(`[aria-keyshortcuts~="${CSS.escape(key)}"]`);
  if (!target) return false;
  if (writing(target)) target.focus();
  else target.click();
  return true;
}

function move(step) {
  const rows = [...document.querySelectorAll(".row")];
  if (!rows.length) return false;
  const now = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(now < 0 ? 0 : now + step, 0), rows.length - 1)].focus();
  return true;
}

document.addEventListener("keydown", (event) => {
  const here = event.target;
  if (event.key === "Escape" && writing(here)) {
    event.preventDefault(); // it would empty a search field
    return here.blur();
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && here.form) {
    event.preventDefault();
    return here.form.requestSubmit(here.form.querySelector("button.main"));
  }
  if (event.key === "Enter" && here.id === "reason" && here.form.id === "decision") {
    event.preventDefault();
    if (pending) here.form.requestSubmit(here.form.querySelector(`button[value="${pending}"]`));
    else say("Choose what becomes of it: Esc, then a, r or x.");
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && !"jk".includes(event.key)) return;
  if (writing(here) || document.querySelector("dialog[open]") || !lettersOn()) return;
  if (event.key === "?") document.getElementById("help").showModal();
  else if (!(event.key === "j" && move(1)) && !(event.key === "k" && move(-1)) && !act(event.key)) return;
  event.preventDefault();
});

document.addEventListener("submit", (event) => {
  const by = event.submitter;
  if (by?.dataset.why) {
    event.preventDefault();
    return say(`No test here: ${by.dataset.why}`);
  }
  if (!by?.dataset.reason) return;
  const reason = document.getElementById("reason");
  if (reason.value.trim()) return;
  event.preventDefault();
  pending = by.value;
  reason.focus();
  say(`To ${by.dataset.reason} it, say why, then press Enter.`);
});

document.getElementById("help-button").addEventListener("click", () => document.getElementById("help").showModal());
const letters = document.getElementById("keys-on");
letters.checked = lettersOn();
letters.addEventListener("change", () => localStorage.setItem(LETTERS, letters.checked ? "on" : "off"));
