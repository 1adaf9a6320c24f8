// The worklist: rows that come by themselves, and keys.
import { $, $$, typing, follow, tellAges } from "./common.js";

const list = $("#list"), live = $("#live");

/** Puts the list as it is now in place of the one shown; the focus stays on its study. */
async function refresh() {
  const address = new URL(location.href);
  address.searchParams.set("partial", "1");
  const answer = await fetch(address);
  if (answer.status === 401) return location.reload();
  if (!answer.ok) throw new Error(answer.statusText);
  const known = new Set($$("tr[data-uid]", list).map((row) => row.dataset.uid));
  const focused = document.activeElement?.closest("tr")?.dataset.uid;
  list.innerHTML = await answer.text();
  for (const row of $$("tr[data-uid]", list)) {
    if (known.size > 0 && !known.has(row.dataset.uid)) row.classList.add("fresh");
    if (row.dataset.uid === focused) $("a", row).focus();
  }
  tellAges();
}

let shown = Number(list.dataset.change), busy = false, again = false;
async function changed(number) {
  if (number === shown) return;
  shown = number;
  if (busy) { again = true; return; }
  busy = true;
  do {
    again = false;
    try { await refresh(); } catch { mark(false); }
  } while (again);
  busy = false;
}

function mark(on) {
  live.textContent = on ? "live" : "not connected, trying again";
  live.className = "live " + (on ? "on" : "off");
}

// An appliance that was started anew counts its changes from the beginning.
follow("/events", {
  user: (who) => { if (who.user !== $(".who").dataset.user) location.reload(); },
  worklist: changed, state: (on) => { if (!on) shown = NaN; mark(on); },
});

list.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-uid]");
  if (row && !event.target.closest("a")) $("a", row).click();
});

addEventListener("keydown", (event) => {
  if (typing(event)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const links = $$("a.open", list), at = links.indexOf(document.activeElement);
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    links[Math.min(links.length - 1, Math.max(0, at + (event.key === "ArrowDown" ? 1 : -1)))]?.focus();
  } else if (event.key === "/") {
    event.preventDefault();
    $("input[type=search]").select();
  }
});
