// The report: text against its draft, kept as it is written, signed or rejected.
import { $, $$, typing } from "./common.js";
import { lights } from "./lights.js";

const SECTIONS = ["findings", "impression"];
const PAUSE = 600; // ms without a key before the text is kept
const RETRY = 3000;

export class Report {
  constructor(data) {
    this.data = data;
    this.version = data.version;
    this.text = { findings: data.findings, impression: data.impression };
    this.analysis = data.analysis;
    this.at = -1; // sentence chosen by the keys
    for (const area of this.areas()) {
      area.value = this.text[area.dataset.section];
      area.addEventListener("input", () => this.typed(area));
      area.addEventListener("keydown", (event) => { if (event.key === "Escape") this.leave(area.dataset.section); });
      area.addEventListener("keyup", () => this.follow(area));
      area.addEventListener("click", () => this.follow(area));
    }
    for (const button of $$(".edit")) button.addEventListener("click", () => this.toggle(button.dataset.section));
    for (const box of $$(".text")) box.addEventListener("dblclick", () => { if (this.editable()) this.toggle(box.dataset.section); });
    $("#sign")?.addEventListener("click", () => this.askSignature());
    $("#reject")?.addEventListener("click", () => this.askReason());
    $("#reopen")?.addEventListener("click", () => this.act("reopen"));
    $("#redraft")?.addEventListener("submit", (event) => { event.preventDefault(); this.redraft(new FormData(event.target).get("adapter")); });
    $("#restore")?.addEventListener("click", () => this.restore());
    lights.on(() => this.light());
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("visibilitychange", () => { if (document.hidden) this.save(); });
    addEventListener("beforeunload", (event) => { if (this.dirty || this.saving) event.preventDefault(); });
    this.render();
    this.standing(data.state, data.shown);
  }

  areas() { return $$(".texts textarea"); }
  editable() { return this.data.can_edit && this.state === "open" && !this.other; }
  signable() { return this.data.can_sign && this.state === "open" && !this.other; }

  /** Shows the state of the reading; the banner is of what is shown, which may be the draft of another revision. */
  standing(state, shown = state) {
    this.state = state;
    this.shown = shown;
    $("#banner").dataset.state = shown === "open" && this.data.stands ? "stands" : shown;
    const open = state === "open", on = open && !this.other;
    for (const [id, there] of [["#sign", on], ["#reject", on && !this.data.stands], ["#restore", on], ["#reopen", !open && !this.other]]) { const e = $(id); if (e) e.hidden = !there; }
    for (const button of $$(".edit")) button.hidden = !on;
    if (!open) for (const section of SECTIONS) this.leave(section);
  }

  /** An event said who is logged in: the tabs of a browser have one session. For another user nothing is changed here; what was typed can still be read. */
  loggedIn(who) {
    this.other = who.user !== this.data.user;
    for (const area of this.areas()) area.readOnly = this.other;
    if (this.other) for (const dialog of $$("dialog[open]")) dialog.close();
    this.standing(this.state, this.shown);
  }

  say(text, kind = "") {
    const saved = $("#saved");
    saved.textContent = text;
    saved.className = "saved " + kind;
  }

  // Editing

  toggle(section) {
    const area = $(`textarea[data-section=${section}]`);
    if (!area.hidden) return this.leave(section);
    if (!this.editable()) return;
    area.hidden = false;
    $(`.edit[data-section=${section}]`).setAttribute("aria-expanded", "true");
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  leave(section) {
    const area = $(`textarea[data-section=${section}]`);
    if (area.hidden) return;
    const inside = document.activeElement === area;
    area.hidden = true;
    const button = $(`.edit[data-section=${section}]`);
    button?.setAttribute("aria-expanded", "false");
    if (inside) button?.focus();
    lights.set([]);
    this.save();
  }

  typed(area) {
    this.text[area.dataset.section] = area.value;
    this.dirty = true;
    this.say("not saved yet");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), PAUSE);
  }

  /** Puts another text in place of the present one. */
  replace(text) {
    if (!this.editable()) return;
    for (const area of this.areas()) { area.value = text[area.dataset.section]; this.typed(area); }
    this.save();
  }

  /** Puts the draft back, in place of a text that somebody wrote only when he means it. */
  async restore() {
    const draft = this.data.draft;
    if (!this.editable() || SECTIONS.every((s) => this.text[s] === draft[s])) return;
    if ((await ask($("#restore-dialog"))) === "restore") this.replace(draft);
  }

  /** Adds a sentence to the findings, in place of what they say of the finding when that is one sentence. */
  async insert(sentence, finding) {
    do { // what was just typed is not in the analysis before it is kept
      if (!this.editable() || !(await this.save())) return;
    } while (this.dirty);
    const parts = this.analysis.findings.map((s) => s.pieces.filter((p) => p.k !== "-").map((p) => p.t).join(""));
    const at = this.analysis.findings.findIndex((s) => s.says.length === 1 && s.says[0].finding === finding);
    if (at >= 0) parts[at] = sentence + (parts[at].match(/\s*$/)?.[0] ?? "");
    else parts.push((parts.join("").trim() ? " " : "") + sentence);
    const area = $("textarea[data-section=findings]");
    area.value = parts.join("");
    this.typed(area);
    this.save();
  }

  // Keeping

  body() { return { revision: this.data.revision, findings: this.text.findings, impression: this.text.impression }; }

  async send(method, address, body) {
    return fetch(`/studies/${this.data.uid}/${address}`, {
      method, body: JSON.stringify(body), keepalive: method === "PUT",
      headers: { "Content-Type": "application/json", "If-Match": `"${this.version}"`, "Llamaxr-User": this.data.user },
    });
  }

  /** Keeps the text if it changed; resolves to true when what is shown is durable. */
  async save() {
    clearTimeout(this.timer);
    while (this.saving) await this.saving;
    if (!this.dirty) return true;
    this.dirty = false;
    this.saving = this.put();
    const kept = await this.saving;
    this.saving = null;
    return kept;
  }

  async put() {
    this.say("saving");
    let answer;
    try {
      answer = await this.send("PUT", "reading", this.body());
    } catch {
      this.dirty = true;
      this.say("NOT SAVED: the appliance does not answer. Trying again.", "wrong");
      this.timer = setTimeout(() => this.save(), RETRY);
      return false;
    }
    if (answer.ok) {
      const reading = await answer.json();
      this.version = reading.version;
      this.analysis = reading.analysis;
      this.render();
      if (!this.dirty) this.say(`Saved at ${reading.time}, version ${reading.version}`);
      return true;
    }
    this.dirty = true;
    await this.refused(answer);
    return false;
  }

  async refused(answer) {
    if (answer.status === 412) { // not waited for: the reader's choice may be to save again
      this.conflict(await answer.json());
      return;
    }
    this.say("NOT SAVED: " + (await answer.text()).trim(), "wrong");
  }

  /** Somebody else's text is newer: the reader decides. */
  async conflict(theirs) {
    this.say(`NOT SAVED: ${theirs.name} changed this report at ${theirs.time}`, "wrong");
    const dialog = $("#conflict-dialog");
    if (dialog.open) return;
    $("#conflict-who").textContent = `${theirs.name} saved version ${theirs.version} at ${theirs.time}${theirs.state === "open" ? "" : ` and it is ${theirs.state}`}. You had seen version ${this.version}.`;
    for (const section of SECTIONS) $(`[data-theirs=${section}]`).textContent = theirs[section];
    const choice = await ask(dialog);
    if (choice === "theirs" || (choice === "mine" && theirs.state !== "open")) {
      this.dirty = false;
      location.reload();
    } else if (choice === "mine") {
      while (this.saving) await this.saving;
      this.version = theirs.version;
      this.dirty = true;
      await this.save();
    }
  }

  /** An event said where the reading stands. */
  async elsewhere(reading) {
    if (this.saving) await this.saving;
    const without = $("#without");
    without.hidden = !reading.without;
    without.textContent = reading.without ? `No other draft comes: ${reading.without}.${reading.withdrawn ? ` Withdrawn, cannot be signed: ${reading.withdrawn}.` : ""}` : "";
    if (reading.revision > this.data.newest && !reading.without) {
      if (this.redrafting && reading.drafted) return this.goTo();
      this.say(reading.drafted ? `There is a newer draft, revision ${reading.revision}. Reload the page to see it.` : `A newer draft, revision ${reading.revision}, is on its way.`, "news");
    } else if (reading.version > this.version) {
      this.say(`${reading.name} changed this report (version ${reading.version}). Reload the page before you go on.`, "wrong");
    } else if (reading.without) {
      this.say("No other draft comes.", "wrong");
    }
  }

  // Signing

  async askSignature() {
    if (!this.signable() || !(await this.save())) return;
    for (const section of SECTIONS) $(`[data-final=${section}]`).textContent = this.text[section];
    const pieces = SECTIONS.flatMap((s) => this.analysis[s]).flatMap((s) => s.pieces).filter((p) => p.t.trim());
    const count = (kind) => pieces.filter((p) => p.k === kind).flatMap((p) => p.t.match(/[\p{L}\p{N}]+/gu) ?? []).length;
    const plus = count("+"), minus = count("-");
    $("#sign-changes").textContent = plus + minus === 0 ? "The draft is accepted without a change." : `${plus} words added, ${minus} taken out of the draft.`;
    const differs = SECTIONS.flatMap((s) => this.analysis[s]).flatMap((s) => s.says).filter((s) => s.differs).map((s) => `${s.name} ${s.polarity} (scored ${s.score})`);
    const note = $("#sign-differs");
    note.hidden = differs.length === 0;
    note.textContent = "Your text says other than the scores: " + [...new Set(differs)].join(", ") + ".";
    if ((await ask($("#sign-dialog"))) === "sign") await this.act("sign");
  }

  async askReason() {
    if (!this.signable() || this.data.stands || !(await this.save())) return;
    const dialog = $("#reject-dialog");
    if ((await ask(dialog)) === "reject") await this.act("reject", { reason: $("textarea", dialog).value });
  }

  async act(name, more = {}) {
    try {
      const answer = await this.send("POST", name, { ...this.body(), ...more });
      if (!answer.ok) return this.refused(answer);
      const reading = await answer.json();
      this.version = reading.version;
      if (name === "sign") {
        this.data.stands = true;
        $(".if-signed").textContent = `Signed by ${reading.name}, ${reading.time}`;
        $(".if-stands").textContent = `The report signed by ${reading.name}, ${reading.time}, stands until it is signed anew`;
      }
      $(".if-rejected").textContent = `Draft rejected by ${reading.name}: ${more.reason ?? ""}`;
      this.standing(reading.state);
      this.say({ sign: "Signed. The report is on its way.", reject: "Rejected. Nothing is sent.", reopen: "Open again: a new signature replaces the signed report." }[name]);
      if (name !== "reopen") $("#next")?.focus();
    } catch {
      this.say("NOT DONE: the appliance does not answer.", "wrong");
    }
  }

  /** Asks for a new draft by another adapter and shows it when it is there; the text as it stands stays with this one. */
  async redraft(adapter) {
    if (this.state !== "open" || !(await this.save())) return;
    try {
      const answer = await this.send("POST", "redraft", { ...this.body(), adapter });
      if (!answer.ok) return this.refused(answer);
      this.version = (await answer.json()).version;
      this.redrafting = true;
      this.say(`Adapter ${adapter} drafts this study again.`, "news");
    } catch {
      this.say("NOT DONE: the appliance does not answer.", "wrong");
    }
  }

  async goTo() {
    if (await this.save()) location.href = `/studies/${this.data.uid}`;
  }

  // Showing

  render() {
    for (const section of SECTIONS) {
      const box = $(`.text[data-section=${section}]`);
      box.replaceChildren(...this.analysis[section].map((sentence) => this.sentence(sentence)));
    }
    this.light();
  }

  sentence(s) {
    const span = document.createElement("span");
    span.className = "sentence";
    span.says = s.says;
    for (const piece of s.pieces) {
      const part = document.createElement({ "+": "ins", "-": "del", "=": "span" }[piece.k]);
      part.textContent = piece.t;
      span.append(part);
    }
    const differs = s.says.filter((x) => x.differs);
    if (differs.length) {
      span.append(mark("other than scored", differs.map((x) => `${x.name} is called ${x.polarity}, scored ${x.score} (${x.view})`).join("; ")));
    }
    const anew = s.verdict === "rewritten";
    if (s.verdict) span.append(mark(anew ? "written anew" : `guard ${s.verdict}`, `${s.reason}${s.original ? `. The model wrote${anew ? " first" : ""}: ${s.original}` : ""}`));
    span.addEventListener("pointerenter", () => lights.set(s.says.map((x) => x.finding)));
    span.addEventListener("pointerleave", () => lights.set([]));
    return span;
  }

  light() {
    for (const span of $$(".sentence")) span.classList.toggle("lit", span.says.some((x) => lights.lit.has(x.finding)));
  }

  /** Lights what the sentence under the caret speaks of. */
  follow(area) {
    let end = 0;
    for (const s of this.analysis[area.dataset.section]) {
      for (const p of s.pieces) if (p.k !== "-") end += p.t.length;
      if (area.selectionStart <= end) return lights.set(s.says.map((x) => x.finding));
    }
  }

  /** Chooses the next or previous sentence. */
  step(by) {
    const all = $$(".sentence");
    if (!all.length) return;
    this.at = Math.min(all.length - 1, Math.max(0, this.at + by));
    all.forEach((span, i) => span.classList.toggle("at", i === this.at));
    all[this.at].scrollIntoView({ block: "nearest" });
    lights.set(all[this.at].says.map((x) => x.finding));
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("dialog[open]")) {
      event.preventDefault();
      return this.askSignature();
    }
    if (typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      e: () => this.toggle("findings"), m: () => this.toggle("impression"), r: () => this.askReason(), n: () => $("#next")?.click(),
      l: () => { location.href = "/"; }, arrowdown: () => this.step(1), arrowup: () => this.step(-1),
    }[event.key.toLowerCase()];
    if (!act || event.target.closest("canvas, [role=toolbar]") && event.key.startsWith("Arrow")) return;
    event.preventDefault();
    act();
  }
}

function mark(text, why) {
  const element = document.createElement("span");
  element.className = "mark";
  element.textContent = text;
  element.title = why;
  const more = document.createElement("span");
  more.className = "away";
  more.textContent = ": " + why;
  element.append(more);
  return element;
}

/** Shows a dialog and resolves to the value of the button that closed it, "" when it was cancelled. */
function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}
