// What every page does: the overlay of keys, ages that grow, and a stream of events that comes back by itself.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** True when keys belong to a field or a dialog, not to the page. */
export function typing(event) {
  return event.target.closest("input:not([type=range]), textarea, select, dialog") !== null;
}

const help = $("#help");
for (const button of $$("[data-help]")) button.addEventListener("click", () => help.showModal());
addEventListener("keydown", (event) => {
  if (event.key === "?" && !typing(event) && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    help.showModal();
  }
});

/** Writes how long ago each <time data-age> was. */
export function tellAges() {
  for (const time of $$("time[data-age]")) {
    const minutes = Math.max(0, Math.floor((Date.now() - Date.parse(time.dateTime)) / 60000));
    const days = Math.floor(minutes / 1440), hours = Math.floor(minutes / 60);
    time.title ||= time.textContent;
    time.textContent = days > 1 ? `${days} days` : hours > 0 ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
  }
}
tellAges();
setInterval(tellAges, 20000);

/** Follows the server's events; handlers are called by event name with the decoded data, "state" with true or false. */
export function follow(address, handlers) {
  const source = new EventSource(address);
  source.onopen = () => handlers.state?.(true);
  source.onerror = () => {
    handlers.state?.(false);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(address, handlers), 3000);
  };
  for (const name of Object.keys(handlers)) {
    if (name !== "state") source.addEventListener(name, (event) => handlers[name](JSON.parse(event.data)));
  }
  addEventListener("pagehide", () => source.close());
}
