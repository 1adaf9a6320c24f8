// The page of a study: its views, its chart, its report, and what happens to it elsewhere.
import { $, $$, follow } from "./common.js";
import { lights } from "./lights.js";
import { Viewer } from "./viewer.js";
import { Report } from "./report.js";

const data = JSON.parse($("#data").textContent);
const viewer = new Viewer(data);
const report = $(".report") ? new Report(data) : null;

for (const row of $$(".row")) {
  const finding = row.dataset.finding;
  row.addEventListener("pointerenter", () => lights.set([finding]));
  row.addEventListener("pointerleave", () => lights.set([]));
  row.addEventListener("focus", () => lights.set([finding]));
  row.addEventListener("blur", () => lights.set([]));
  row.addEventListener("click", () => lights.pin(lights.pinned === finding ? null : finding));
}
lights.on((lit, pinned) => {
  for (const row of $$(".row")) {
    row.classList.toggle("lit", lit.has(row.dataset.finding));
    row.setAttribute("aria-pressed", row.dataset.finding === pinned);
  }
  offer(pinned);
});

/** Offers sentences about the pinned finding. */
let offered = null;
function offer(finding) {
  const box = $("#phrases");
  if (!box || finding === offered) return;
  offered = finding;
  const found = data.phrases.find((p) => p.finding === finding);
  box.hidden = !found || !data.can_edit;
  box.replaceChildren();
  if (box.hidden) return;
  const title = document.createElement("p");
  title.textContent = `Say of ${found.name}:`;
  box.append(title, ...found.phrases.map((text) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => report.insert(text, finding));
    return button;
  }));
  box.scrollIntoView({ block: "nearest" });
}

/** The critical finding: acknowledged without leaving the page, and by no single key, which a hand may brush. */
const alertForm = $("#alert");
function acknowledged(name, how, time) {
  alertForm.classList.remove("open");
  $("#alert-state").textContent = `${name} ${how}${time ? ", " + time : ""}`;
  $("#acknowledge")?.remove();
}
alertForm?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch(alertForm.action, { method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(new FormData(alertForm)) });
  if (!answer.ok) { $("#alert-state").textContent = "Not acknowledged: " + await answer.text(); return; }
  const said = await answer.json();
  acknowledged(said.name, said.how, said.time);
});

/** What happens to the critical finding elsewhere. */
function alertElsewhere(reading) {
  if (!alertForm || reading.alert_open !== false || !$("#acknowledge") || Number(alertForm.elements.number.value) !== reading.alert) return;
  if (reading.acknowledged_by) acknowledged(reading.acknowledged_by, reading.acknowledged_how);
}

/** The page is of the user that it was made for; who logs in after him, in another tab, gets one of his own. */
function loggedIn(who) {
  const other = who.user !== data.user, said = $("#stranger");
  if (other && !report) { location.reload(); return; }
  said.hidden = !other;
  said.textContent = other ? `${who.name} is logged in now, and this page was opened by another user: nothing is saved or signed here. Reload it.` : "";
  $("#acknowledge")?.toggleAttribute("disabled", other);
  report?.loggedIn(who);
}

follow("/events?study=" + encodeURIComponent(data.uid), {
  user: loggedIn,
  presence: (names) => { $("#presence").textContent = names.length ? `${names.join(", ")} ${names.length > 1 ? "have" : "has"} this study open` : ""; },
  reading: (reading) => { alertElsewhere(reading); if (report) report.elsewhere(reading); else if (reading.drafted || (["no draft", "attention"].includes(reading.status) && reading.status !== data.status)) location.reload(); },
});

await viewer.loaded;
document.body.dataset.ready = "";
