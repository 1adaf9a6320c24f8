// Which findings are lit: a sentence, a row of the chart and a region of an image light each other through this.

const listeners = [];
let lit = new Set(), pinned = null;

export const lights = {
  /** Calls listener(lit findings, pinned finding) at every change. */
  on(listener) { listeners.push(listener); },
  get lit() { return lit; },
  get pinned() { return pinned; },
  set(findings) {
    const next = new Set(findings);
    if (next.size === lit.size && [...next].every((f) => lit.has(f))) return;
    lit = next;
    tell();
  },
  /** Keeps a finding's heat map when nothing is lit; the same again lets go. */
  pin(finding) { pinned = finding; tell(); },
};

function tell() { for (const listener of listeners) listener(lit, pinned); }
